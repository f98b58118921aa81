"""Which addresses open the form of an experiment before torch is imported."""

import pytest
import streamlit as st

import ctsft
from ctsft.runs.recorded_models import recorded_models
from explorer.session import early_experiment, stored_shape
from explorer.session.arrival import EARLY
from explorer.session.view import View
from support.recorded import show_recorded

TAB = {"tune-tab": "Experiment"}


@pytest.fixture
def session(monkeypatch) -> View:
    """An empty session, and its view."""
    view = View()
    monkeypatch.setattr(st, "session_state", {})
    for module in (early_experiment, stored_shape):
        monkeypatch.setattr(module, "view", lambda: view)
    return view


def test_the_bundled_model_with_its_task_and_languages(session):
    assert early_experiment.opened(TAB | {"source": "english", "target": "x", "n": "12"}) == {
        **{"model": "demo", "model_kind": "bundled", "tune_tab": "Experiment"},
        **{"source": "english", "size": 12},
    }


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"tune-tab": "One run"},
        *(TAB | one for one in ({"model": "other"}, {"task": "nusax"}, {"data": "/tmp"})),
        TAB | {"present": "map"},
    ],
)
def test_everything_else_waits_for_torch(session, query):
    assert early_experiment.opened(query) is None


def test_another_tab_chosen_in_the_session_counts_before_the_address(session):
    assert early_experiment.opened(TAB)
    st.session_state[EARLY] = {}
    assert early_experiment.opened(TAB) is None
    session.tune_tab = "Experiment"
    assert early_experiment.opened(TAB)


def test_a_recorded_model_has_the_settings_of_its_recording(session, monkeypatch):
    show_recorded(monkeypatch)
    (recorded,) = recorded_models().values()
    fields = early_experiment.opened(TAB | {"model": recorded.name})
    assert (fields["task"], fields["source"], fields["size"]) == (
        *(recorded.task, recorded.source),
        recorded.size,
    )
    session.model = recorded.name
    assert stored_shape.n_heads() == 270


def test_the_stored_shape_is_that_of_the_bundled_model(session):
    assert stored_shape.n_heads() == len(ctsft.load_model("demo").heads)
    assert stored_shape.stored_config("someone/else") is None
