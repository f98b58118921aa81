"""A server for several people: who may change which run and which saved circuit."""

import re
from pathlib import Path

import pytest
import streamlit as st

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.jobs.experiment_design import Trial
from ctsft.jobs.requests import FinetuneRequest, TrialOf, Tuning
from ctsft.runs import notes
from ctsft.runs.folder import write_json
from ctsft.utils.errors import UserError
from explorer import guard
from explorer.session import own_runs, saved_circuits, visitors

PAGES = Path(own_runs.__file__).parents[1]


@pytest.fixture(autouse=True)
def shared(monkeypatch):
    monkeypatch.setenv(guard.SHARED, "1")


@pytest.fixture
def visitor(monkeypatch):
    """visitor(name): from now on the browser of that name is asking."""

    def come(name: str):
        cookies = {guard.COOKIE: name * visitors.SHORTEST} if name else {}
        monkeypatch.setattr(type(st.context), "cookies", cookies)

    come("a")
    return come


@pytest.fixture
def launched(monkeypatch) -> list:
    """Jobs that would start; their runs are done at once."""
    started = []

    def launch(run):
        write_json(run.file("status.json"), runs.Status(state="done"))
        started.append(run.id)
        return run

    monkeypatch.setattr("ctsft.runs.launcher._launch", launch)
    return started


CHANGES = [
    lambda run: own_runs.stop(run, "keep"),
    lambda run: own_runs.stop(run, "discard"),
    own_runs.resume,
    own_runs.delete,
    lambda run: own_runs.save_note(run, "named", "noted"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_is_changed_by_its_own_visitor_only(visitor, launched, change):
    run = own_runs.start(runs.Request(kind="score"))
    visitor("b")
    for other in ("b", ""):  # without a cookie, too
        visitor(other)
        with pytest.raises(UserError, match="Another visitor of this server started this run"):
            change(run)
    assert runs.get(run.id).status().state == "done" and not run.file("stop").exists()
    assert launched == [run.id] and notes.read_note(run) == notes.Note()
    visitor("a")
    change(run)


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_from_the_shell_is_nobodys(visitor, launched, change):
    run = runs.start(runs.Request(kind="score"))
    with pytest.raises(UserError, match="Another visitor"):
        change(run)


@pytest.mark.parametrize("change", CHANGES)
def test_without_the_mode_everything_is_the_users(visitor, launched, change, monkeypatch):
    run = own_runs.start(runs.Request(kind="score"))
    monkeypatch.delenv(guard.SHARED)
    visitor("b")
    change(run)
    unmarked = own_runs.start(runs.Request(kind="score"))
    assert not unmarked.file(own_runs.OWNER).exists()


def test_the_secret_is_not_on_the_disk(visitor, launched):
    run = own_runs.start(runs.Request(kind="score"))
    stored = run.file(own_runs.OWNER).read_text()
    assert re.fullmatch("[0-9a-f]{64}", stored) and visitors.secret() not in stored
    run.file(own_runs.OWNER).write_bytes(b"\xff")
    assert not own_runs.is_own(run)
    visitor("")
    assert visitors.secret() == visitors.secret() != ""


def test_the_trials_of_an_experiment_are_its_starters(visitor, launched):
    experiment = own_runs.start(runs.Request(kind="experiment"))
    trial = Trial(setting="s", method="full", target="english", n=5, seed=1, learning_rate=1e-3)
    request = FinetuneRequest(
        tuning=Tuning(target="english"), trial_of=TrialOf(run=experiment.id, trial=trial)
    )
    with runs.record(request) as run:
        pass
    assert own_runs.is_own(run)
    visitor("b")
    assert not own_runs.is_own(run)
    visitor("a")
    own_runs.delete(experiment)
    assert own_runs.is_own(run), "also when the experiment is gone"
    own_runs.delete(run)
    assert not runs.list_runs()


def test_a_saved_circuit_is_removed_by_its_own_visitor_only(visitor):
    circuit = Circuit(frozenset({(0, 1)}), {"kind": "none"})
    name = saved_circuits.save("mine", circuit)
    visitor("b")
    saved_circuits.remove(name)
    copy = saved_circuits.rename(name, "yours", circuit)
    assert set(saved_circuits.names()) == {"mine", "yours"} and copy == "yours"
    visitor("a")
    saved_circuits.remove("yours")
    saved_circuits.remove(name)
    assert saved_circuits.names() == ["yours"]
    assert not saved_circuits.owner_file(name).exists()


def test_pages_change_runs_through_this_module_only():
    direct = re.compile(
        r"\b(runs|launcher)\.(start|resume|stop|kill|delete)\(|\bnotes\.save_note\("
    )
    callers = {
        str(path.relative_to(PAGES))
        for path in PAGES.rglob("*.py")
        if direct.search(re.sub(r"\bown_runs\.", "", path.read_text(encoding="utf-8")))
    }
    assert callers == {"session/own_runs.py"}
