"""Run folders of one test, and no process left behind."""

import pytest

from ctsft import runs
from ctsft.runs import folder as runs_folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CTSFT_HOME", str(tmp_path))
    yield tmp_path / "runs"
    for run in runs.list_runs():
        if run.status().host == runs_folder.HOST:
            runs.kill(run, wait=0)
