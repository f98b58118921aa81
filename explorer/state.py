"""What one browser session has chosen (`View`), and what all sessions share (models, rows, scores), in one typed place.

Settings live in the `View`, not in widgets: Streamlit forgets a widget when its page is left. `bind` ties a widget to a
field, `put` sets a field from code. Loaded models are shared between sessions and never changed by a page.
"""
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import streamlit as st

import ctsft
from ctsft import runs
from ctsft.circuit import Circuit
from ctsft.errors import UserError
from ctsft.jobs import Scoring, Subject
from ctsft.means import Means
from ctsft.models import Model
from ctsft.relevance import Head, Scores
from ctsft.tasks import Example, Task

SMALL = 50_000_000           # parameters up to which a page may run the model without being asked


@dataclass
class View:
    """One session's choices, page by page. Defaults show the bundled model."""
    # Setup: `model` and `task` are in force; the others are what stands in the input fields
    model: str = "demo"
    model_kind: str = "bundled"                   # "bundled", "hub", "folder"
    hub: str = ""
    folder: str = ""
    task: str = "demo"
    task_kind: str = "demo"                       # "demo", "nusax", "xnli", "file"
    task_file: str = ""
    data_dir: str = ""
    own_name: str = "my task"                     # a task from the user's own files, as it is being mapped
    own_prompt: str = ""
    own_label: str = ""
    own_source: str = ""
    own_column: str = ""                          # that names the language of each row; "": one language a file
    gallery: list[str] = field(default_factory=list)   # languages whose rows are shown; none: source and target
    source: str = "indonesian"
    target: str = "english"
    split: str = "train"
    # Relevance
    size: int = 50
    pool_seed: int = 0
    method: str = "cdt"
    attention: str = "softmax"
    rules: str = "paper"                          # of CD-T: "paper" or "symmetric"
    positions: str = "all"
    head: Head | None = None                      # shown in the inspector
    flip: bool = False                            # layer 0 at the bottom
    panel: str = "By label"                       # what stands below the map
    comparison: str = "Two methods"               # what the scores are held against
    example: int = 0                              # of the discovery set, looked at alone
    head_view: str = "By token"                   # what is shown of the head on that example
    against: str = "ablation"                     # the other way of scoring in the scatter
    other: str = ""                               # the language that may be scored for that
    other_size: int = 50
    beside: str = ""                              # the run whose map stands beside
    # Circuit: the rule's circuit, and what was clicked, kept apart
    rule: str = "top"
    k: int = 6
    fraction: float = 0.1
    level: float = 0.5                            # threshold on a fixed 0..1 range between the lowest and the highest score
    seed: int = 0                                 # of the rule "random"
    added: frozenset[Head] = frozenset()
    removed: frozenset[Head] = frozenset()
    past: list[dict] = field(default_factory=list)     # for undo: earlier values of CIRCUIT_FIELDS
    file_name: str = "circuit"                    # of the saved circuit
    measure: str = "accuracy"                     # faithfulness by "accuracy" or "margin"
    n_random: int = 10                            # random circuits of each size
    # Fine-tune
    what: str = "circuit"
    n: int = 50
    epochs: int = 10
    lr: float = 3e-3
    batch: int = 16
    tune_seed: int = 31

    @property
    def subject(self) -> Subject:
        return Subject(self.model, self.task, self.data_dir or None, self.source, self.split)

    @property
    def scoring(self) -> Scoring:
        return Scoring(self.size, self.pool_seed, self.method, self.attention, positions=self.positions, rules=self.rules)


CIRCUIT_FIELDS = ("rule", "k", "fraction", "level", "seed", "added", "removed")


def view() -> View:
    if "view" not in st.session_state:
        st.session_state.view = View()
    return st.session_state.view


def bind(name: str, then: Callable | None = None) -> dict:
    """Keyword arguments that tie a widget to a field of the view: `st.slider("Heads", 1, 48, **bind("k"))`.

    Circuit fields remember the value before for undo. `then()` runs after a change.
    """
    key = f"w_{name}"
    st.session_state[key] = getattr(view(), name)      # always: another page's widget of this field is another widget to Streamlit

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


def remember():
    """Keep the circuit's settings as they are now, to come back to."""
    now = view()
    now.past = [*now.past[-99:], {name: getattr(now, name) for name in CIRCUIT_FIELDS}]


def undo():
    if view().past:
        put(**view().past.pop())


def forget_circuit():
    """Hand edits belong to one model and task: drop them when either changes."""
    put(added=frozenset(), removed=frozenset(), head=None, past=[])


@contextmanager
def sentences(stop: bool = True) -> Iterator[None]:
    """A UserError inside becomes one sentence on the page, and the page ends there (`stop=False`: only the block does)."""
    try:
        yield
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        if stop:
            st.stop()


@st.cache_resource(show_spinner="Loading the model ...", max_entries=3)
def load_model(name: str) -> Model:
    return ctsft.load_model(name)


@st.cache_data(show_spinner=False, max_entries=64)
def load_rows(task: str, data_dir: str, language: str, split: str) -> list[Example]:
    return load_task(task, data_dir).load(language, split)


def load_task(task: str, data_dir: str) -> Task:
    return ctsft.load_task(task, data_dir or None)


def model() -> Model:
    """The view's model; ends the page with a sentence when it cannot be loaded."""
    with sentences():
        return load_model(view().model)


def task() -> Task:
    with sentences():
        return load_task(view().task, view().data_dir)


def rows(language: str, split: str) -> list[Example]:
    with sentences():
        return load_rows(view().task, view().data_dir, language, split)


def find_run(kind: str, states: tuple[str, ...] = (), weights: tuple = (), **params) -> runs.Run | None:
    """The newest run of a kind whose request says `params`, in one of `states` and of one of the models with `weights` (any, if none are named)."""
    for run in runs.list_runs(kind):
        own = run.request.params
        same = all(own.get(key) == value for key, value in params.items()) and (not weights or own.get("model_fingerprint") in weights)
        if same and (not states or run.status().state in states):
            return run
    return None


def score_run(states: tuple[str, ...] = ()) -> runs.Run | None:
    """The newest scoring run with the view's model (its very weights, once the run has seen them), task, language and settings."""
    weights = load_model(view().model).fingerprint
    return find_run("score", states, (None, weights), subject=asdict(view().subject), scoring=asdict(view().scoring))


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
    """The discovery set of a run, {"id", "text", "label"} in the order of its scores; [] while it is not there."""
    try:
        return json.loads(run.file("pool.json").read_text(encoding="utf-8")) if run else []
    except (OSError, ValueError):
        return []


def scores() -> tuple[Scores | None, str]:
    """The best scores there are for the view, and what they are: "scores", "preview" (attribution patching) or ""."""
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
    settings = {"threshold": {"threshold": threshold(of)}, "fraction": {"fraction": now.fraction}, "random": {"k": now.k, "seed": now.seed},
                "all": {}, "none": {}}
    return ctsft.select(of, now.rule, **settings.get(now.rule, {"k": min(now.k, of.values.numel())}))


def circuit(of: Scores) -> Circuit:
    """The circuit in force: the rule's, with heads added and removed by hand."""
    return rule_circuit(of).edit(view().added, view().removed)


def click(head: Head, of: Scores):
    """Toggle one head by hand: out if it is in, in if it is out; the last click on a head counts, wherever the rule's slider goes."""
    remember()
    now, by_rule = view(), head in rule_circuit(of)
    if head in circuit(of):
        put(added=now.added - {head}, removed=now.removed | ({head} if by_rule else set()), head=head)
    else:
        put(removed=now.removed - {head}, added=now.added | (set() if by_rule else {head}), head=head)


def data_home() -> Path:
    return runs.home()
