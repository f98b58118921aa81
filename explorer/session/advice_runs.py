"""Advice on which heads to train: the runs that match a session's choices, and their rankings."""

from collections.abc import Iterator

import streamlit as st

from ctsft import runs
from ctsft.circuit.advice_ranking import Ranking
from ctsft.jobs.advice import read_advice
from ctsft.jobs.requests import needed_request, same_question, typed_runs
from ctsft.utils.errors import UserError
from explorer.session.requests import advise_request
from explorer.session.view import View

# rows and number of heads differ between pieces of advice on the same languages
IGNORED = {"k": 1, "n": 0, "seed": 0}


def current_rows(view: View) -> tuple[int, int]:
    """The target rows that Fine-tune would draw: how many, and with which seed."""
    return view.n, view.tune_seed


def rows_of(run: runs.Run) -> tuple[int, int]:
    """How many target rows an advice run used, and the seed that drew them."""
    request = needed_request(run)
    return request.n, request.seed


def matching_runs(view: View, weights: str, states: tuple[str, ...] = ()) -> Iterator[runs.Run]:
    """Runs on the view's model (its weights, once a run has seen them), task, source and target,
    newest first.
    """
    current = advise_request(view, 1).model_copy(update=IGNORED)
    for run, request in typed_runs("advise"):
        same = same_question(request.model_copy(update=IGNORED), current)
        same_weights = request.facts.model_fingerprint in (None, weights)
        if same and same_weights and (not states or run.status().state in states):
            yield run


def best_run(view: View, weights: str, states: tuple[str, ...] = ("done",)) -> runs.Run | None:
    """The newest run on the view's rows, else the newest on other rows of the target."""
    matching = list(matching_runs(view, weights, states))
    for run in matching:
        if rows_of(run) == current_rows(view):
            return run
    return matching[0] if matching else None


@st.cache_data(show_spinner=False, max_entries=32)
def _read(run_id: str, changed: float) -> Ranking:
    return read_advice(run_id)


def read(run: runs.Run | None) -> Ranking | None:
    """None where there is nothing to read."""
    path = run.file("advice.csv") if run else None
    try:
        return _read(run.id, path.stat().st_mtime) if path and path.is_file() else None
    except UserError:
        return None
