"""What one browser session has chosen (`View`), and what all sessions share (models, rows, scores),
in one typed place.

Settings live in the `View`, not in widgets: Streamlit forgets a widget when its page is left.
`bind` ties a widget to a field, `put` sets a field from code. Loaded models are shared between
sessions and never changed by a page.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import streamlit as st

import ctsft
from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.sources import Files
from ctsft.data.task import Example, Task
from ctsft.model.model import Model
from ctsft.utils.errors import UserError
from explorer import advice
from explorer.view import CIRCUIT_FIELDS, View

# parameters up to which a page may run the model without being asked
SMALL = 50_000_000


def view() -> View:
    if "view" not in st.session_state:
        st.session_state.view = View()
    return st.session_state.view


def bind(name: str, then: Callable | None = None) -> dict:
    """Keyword arguments that tie a widget to a field of the view: `st.slider("Heads", 1, 48,
    **bind("k"))`.

    Circuit fields remember the value before for undo. `then()` runs after a change.
    """
    key = f"w_{name}"
    # always: another page's widget of this field is another widget to Streamlit
    st.session_state[key] = getattr(view(), name)

    def changed():
        if name in CIRCUIT_FIELDS:
            remember()
        setattr(view(), name, st.session_state[key])
        if then:
            then()

    return {"key": key, "on_change": changed}


def put(**fields):
    """Set fields from code, in a callback or before their widgets are drawn."""
    for name, value in fields.items():
        setattr(view(), name, value)
        st.session_state.pop(f"w_{name}", None)


def look_at_first(of: Scores, heads):
    """Look at the head that ranks first, unless one of `heads` was chosen; a head that nobody chose
    gives way when other scores come.
    """
    first, own = of.ranking()[0], st.session_state.get("own_head")
    if view().head not in heads or (view().head == own and own != first):
        put(head=first)
        st.session_state.own_head = first


def remember():
    """Keep the circuit's settings as they are now, to come back to; what was undone before is
    gone.
    """
    now = view()
    now.past, now.future = [*now.past[-99:], chosen()], []


def chosen() -> dict:
    return {name: getattr(view(), name) for name in CIRCUIT_FIELDS}


def undo():
    if view().past:
        view().future.append(chosen())
        put(**view().past.pop())


def redo():
    if view().future:
        view().past.append(chosen())
        put(**view().future.pop())


def forget_circuit():
    """Hand edits belong to one model and task: drop them when either changes."""
    put(
        added=frozenset(),
        removed=frozenset(),
        head=None,
        past=[],
        future=[],
        found=None,
        overlap=[],
    )
    if view().rule == "discover":
        put(rule=View.rule)


@contextmanager
def sentences(stop: bool = True, setup: bool = False) -> Iterator[None]:
    """A UserError inside becomes one sentence on the page, and the page ends there (`stop=False`:
    only the block does). `setup`: with the way to the page where it can be mended.
    """
    try:
        yield
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        if setup:
            st.page_link("screens/setup.py", label="Mend it on Setup", icon=":material/arrow_back:")
        if stop:
            st.stop()


@st.cache_resource(show_spinner="Loading the model ...", max_entries=3)
def load_model(name: str) -> Model:
    return ctsft.load_model(name)


def load_rows(task: str, data_dir: str, language: str, split: str) -> list[Example]:
    return _read_rows(task, data_dir, language, split, changed(task, data_dir, language, split))


@st.cache_data(show_spinner=False, max_entries=64)
def _read_rows(task: str, data_dir: str, language: str, split: str, files: tuple) -> list[Example]:
    return load_task(task, data_dir).load(language, split)


def changed(task: str, data_dir: str, language: str, split: str) -> tuple[tuple[int, int], ...]:
    """When the files behind some rows were written last, and their sizes: another answer means
    other rows. Nothing for remote ones.
    """
    rows = load_task(task, data_dir).rows
    paths = [
        Path(task).expanduser(),
        *([rows.path(language, split)] if isinstance(rows, Files) else []),
    ]
    return tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths if path.is_file())


def load_task(task: str, data_dir: str) -> Task:
    return ctsft.load_task(task, data_dir or None)


def model() -> Model:
    """The view's model; ends the page with a sentence when it cannot be loaded."""
    with sentences(setup=True):
        return load_model(view().model)


def task() -> Task:
    with sentences(setup=True):
        return load_task(view().task, view().data_dir)


def rows(language: str, split: str) -> list[Example]:
    with sentences():
        return load_rows(view().task, view().data_dir, language, split)


def find_run(
    kind: str, states: tuple[str, ...] = (), weights: tuple = (), **params
) -> runs.Run | None:
    """The newest run of a kind whose request says `params`, in one of `states` and of one of the
    models with `weights` (any, if none are named).
    """
    for run in runs.list_runs(kind):
        own = run.request.params
        same = all(own.get(key) == value for key, value in params.items()) and (
            not weights or own.get("model_fingerprint") in weights
        )
        if same and (not states or run.status().state in states):
            return run
    return None


def score_run(states: tuple[str, ...] = ()) -> runs.Run | None:
    """The newest scoring run with the view's model (its very weights, once the run has seen them),
    task, language and settings.
    """
    weights = load_model(view().model).fingerprint
    return find_run(
        "score",
        states,
        (None, weights),
        subject=asdict(view().subject),
        scoring=asdict(view().scoring),
    )


@st.cache_data(show_spinner=False, max_entries=32)
def _read_scores(path: str, changed: float) -> Scores:
    return Scores.load(path)


@st.cache_data(show_spinner=False, max_entries=32)
def _read_means(path: str, changed: float) -> Means:
    return Means.load(path)


def scores_of(run: runs.Run | None, name: str = "scores") -> Scores | None:
    """Scores ("scores", or the first look "preview") of a run; None while they are not there."""
    path = run.file(f"{name}.safetensors") if run else None
    return _read_scores(str(path), path.stat().st_mtime) if path and path.is_file() else None


def means_of(run: runs.Run | None) -> Means | None:
    path = run.file("means.safetensors") if run else None
    return _read_means(str(path), path.stat().st_mtime) if path and path.is_file() else None


def pool_of(run: runs.Run | None) -> list[dict]:
    """The discovery set of a run, {"id", "text", "label"} in the order of its scores; [] while it
    is not there.
    """
    try:
        return json.loads(run.file("pool.json").read_text(encoding="utf-8")) if run else []
    except (OSError, ValueError):
        return []


@st.cache_data(show_spinner=False, max_entries=32)
def _read_circuit(path: str, changed: float) -> Circuit:
    return Circuit.load(path)


def circuit_of(run: runs.Run | None) -> Circuit | None:
    """What a discovery found; None while it is not there."""
    path = run.file("circuit.json") if run else None
    return _read_circuit(str(path), path.stat().st_mtime) if path and path.is_file() else None


def scores() -> tuple[Scores | None, str]:
    """The best scores there are for the view, and what they are: "scores", "preview" (attribution
    patching) or "".
    """
    done = score_run(("done",))
    if done:
        return scores_of(done), "scores"
    preview = scores_of(score_run(("running", "stopping", "queued")), "preview")
    return preview, "preview" if preview else ""


def threshold(of: Scores, level: float | None = None) -> float:
    """The score at a place of the slider's fixed 0..1 range."""
    finite = of.values[of.values == of.values]
    low, high = finite.min().item(), finite.max().item()
    return low + (view().level if level is None else level) * (high - low)


def rule_circuit(of: Scores) -> Circuit:
    """The circuit of the view's rule, without the hand edits."""
    now = view()
    if now.rule == "discover":
        return now.found or ctsft.select(of, "none")
    if now.rule == "advised":
        given = advice.read(advice.run_of(now, load_model(now.model).fingerprint))
        return (
            ctsft.select(of, "advised", k=min(now.k, of.values.numel()), advice=given)
            if given
            else ctsft.select(of, "none")
        )
    settings = {
        "threshold": {"threshold": threshold(of)},
        "fraction": {"fraction": now.fraction},
        "random": {"k": now.k, "seed": now.seed},
        "all": {},
        "none": {},
    }
    return ctsft.select(
        of, now.rule, **settings.get(now.rule, {"k": min(now.k, of.values.numel())})
    )


def circuit(of: Scores) -> Circuit:
    """The circuit in force: the rule's, with heads added and removed by hand."""
    return rule_circuit(of).edit(view().added, view().removed)


def click(head: Head, of: Scores):
    """Toggle one head by hand: out if it is in, in if it is out; the last click on a head counts,
    wherever the rule's slider goes.
    """
    remember()
    now, by_rule = view(), head in rule_circuit(of)
    if head in circuit(of):
        put(
            added=now.added - {head},
            removed=now.removed | ({head} if by_rule else set()),
            head=head,
        )
    else:
        put(
            removed=now.removed - {head},
            added=now.added | (set() if by_rule else {head}),
            head=head,
        )
