"""The scoring run of a session's settings, and the scores, means and examples it saved."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import streamlit as st
from pydantic import TypeAdapter

from ctsft import runs
from ctsft.jobs.requests import AnyRequest, same_question, typed_runs
from ctsft.runs.explorations import origin_of
from ctsft.utils.json_files import parse_json, read_regular
from explorer.session.binding import view
from explorer.session.inputs import load_model
from explorer.session.requests import score_request

if TYPE_CHECKING:  # torch, for which Compare does not wait
    from ctsft.attribution.means import Means
    from ctsft.attribution.scores import Scores
    from ctsft.circuit.circuit import Circuit

ACTIVE = ("queued", "running", "stopping")


# a discovery set
POOL = TypeAdapter(list[dict[Literal["id", "text", "label"], str]])


def find_run(
    kind: str,
    where: Callable[[AnyRequest], bool] = lambda request: True,
    states: tuple[str, ...] = (),
    weights: tuple[str | None, ...] = (),
) -> runs.Run | None:
    """The newest run of a kind whose request meets `where`, in one of `states` and of one of the
    models with `weights` (any, if none are named).
    """
    for run, request in typed_runs(kind):
        same_weights = not weights or request.facts.model_fingerprint in weights
        if same_weights and where(request) and (not states or run.status().state in states):
            return run
    return None


def find_same(
    request: AnyRequest, states: tuple[str, ...] = (), weights: tuple[str | None, ...] = ()
) -> runs.Run | None:
    """The newest run that asks the same question."""
    return find_run(request.kind, partial(same_question, request), states, weights)


def has_scored() -> bool:
    """Whether a scoring run of one's own is done, with any settings. Recorded runs are none."""
    done = (run for run, _ in typed_runs("score") if run.status().state == "done")
    return any(not origin_of(run) for run in done)


def score_run(states: tuple[str, ...] = ()) -> runs.Run | None:
    """The newest scoring run with the view's model (its very weights, once the run has seen them),
    task, language and settings.
    """
    weights = load_model(view().model).fingerprint
    return find_same(score_request(view()), states, (None, weights))


def curve_of(scored: runs.Run, states: tuple[str, ...] = ()) -> runs.Run | None:
    """The newest faithfulness run on the scores of a scoring run."""
    return find_run("faithfulness", lambda request: request.scores == scored.id, states)


@st.cache_data(show_spinner=False, max_entries=32)
def _read_scores(path: str, changed: float) -> "Scores":
    from ctsft.attribution.scores import Scores

    return Scores.load(path)


@st.cache_data(show_spinner=False, max_entries=32)
def _read_means(path: str, changed: float) -> "Means":
    from ctsft.attribution.means import Means

    return Means.load(path)


def scores_of(run: runs.Run | None, name: str = "scores") -> "Scores | None":
    """Scores ("scores", or the first look "preview") of a run; None while they are not there."""
    path = run.file(f"{name}.safetensors") if run else None
    return _read_scores(str(path), path.stat().st_mtime) if path and path.is_file() else None


def means_of(run: runs.Run | None) -> "Means | None":
    path = run.file("means.safetensors") if run else None
    return _read_means(str(path), path.stat().st_mtime) if path and path.is_file() else None


def pool_of(run: runs.Run | None) -> list[dict]:
    """The discovery set of a run, {"id", "text", "label"} in the order of its scores; [] while it
    is not there.
    """
    try:
        content = parse_json(read_regular(run.file("pool.json"))) if run else []
        POOL.validate_python(content)
        return content
    except (OSError, ValueError):
        return []


@st.cache_data(show_spinner=False, max_entries=32)
def _read_circuit(path: str, changed: float) -> "Circuit":
    from ctsft.circuit.circuit import Circuit

    return Circuit.load(path)


def circuit_of(run: runs.Run | None) -> "Circuit | None":
    """The circuit of a discovery run; None while it is not there."""
    path = run.file("circuit.json") if run else None
    return _read_circuit(str(path), path.stat().st_mtime) if path and path.is_file() else None


def scores() -> "tuple[Scores | None, str]":
    """The best scores there are for the view, and what they are: "scores", "preview" (attribution
    patching) or "".
    """
    done = score_run(("done",))
    if done:
        return scores_of(done), "scores"
    preview = scores_of(score_run(("running", "stopping", "queued")), "preview")
    return preview, "preview" if preview else ""
