"""Shared by the pages' tests."""

import functools

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

from ctsft import runs
from ctsft.attribution import cost_estimate
from explorer.session import errors
from explorer.session import view as session_view
from support.tasks import cued, write_task


@pytest.fixture(scope="session", autouse=True)
def scanned_once():
    """Streamlit looks through every installed package for components at each simulated visit."""
    scan = functools.cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture(scope="session", autouse=True)
def brief_calibration():
    """A cost estimate times each batch once, not for a third of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost_estimate, "CALIBRATION_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_prepared():
    """Jobs are not started here, so nothing is imported for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "prepare", lambda: False)
        yield


@pytest.fixture(autouse=True)
def unexpected(monkeypatch):
    """An error that a page reports in a sentence is an exception of the page to these tests."""
    monkeypatch.setattr(errors, "unexpected", st.exception)


@pytest.fixture
def finetune_view(folders, tmp_path) -> session_view.View:
    """A tiny model (3 x 4 heads, 2 key/value heads) and a task of 60 test rows."""
    rows = {
        (language, split): cued(n, i)
        for i, language in enumerate(("indonesian", "javanese"))
        for split, n in {"train": 30, "valid": 6, "test": 60}.items()
    }
    return session_view.View(
        model=str(folders["qwen2"]),
        task=str(write_task(tmp_path / "task", rows)),
        target="javanese",
        n=24,
        k=2,
    )


@pytest.fixture
def started(monkeypatch) -> list:
    """What `runs.start` is asked for; nothing starts, but the folder is there."""
    calls = []

    def start(request):
        calls.append(request)
        with runs.record(request) as run:
            pass
        return run

    monkeypatch.setattr(runs, "start", start)
    return calls


@pytest.fixture(scope="session")
def circuit_task(tmp_path_factory):
    files = {
        (language, split): cued(6, 1)
        for language in ("indonesian", "javanese")
        for split in ("train", "valid", "test")
    }
    return str(write_task(tmp_path_factory.mktemp("task"), files))


@pytest.fixture
def circuit_view(folders, circuit_task) -> session_view.View:
    return session_view.View(model=str(folders["qwen2"]), task=circuit_task, target="javanese", k=3)
