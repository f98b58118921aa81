"""A job is started detached, with the modules of this program and of no folder it starts in."""

import json
import os
import subprocess
import sys

import pytest

from ctsft import runs
from ctsft.runs import launcher, processes
from support.runs import JOB, logs

pytestmark = pytest.mark.usefixtures("folder")


def test_importing_runs_is_quick():
    code = (
        f"{JOB}assert not {{'torch', 'transformers', 'numpy', 'streamlit'}} & set(sys.modules),"
        " sorted(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=launcher.ROOT).returncode == 0


def test_start_runs_the_command_line_detached(tmp_path, monkeypatch):
    # stands in for the real command line, which imports torch
    package = tmp_path / "elsewhere" / "ctsft"
    package.mkdir(parents=True)
    code = "import os, sys, time\nprint(os.getsid(0) == os.getpid(), sys.argv[1:])\ntime.sleep(60)"
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(code)
    monkeypatch.setattr(launcher, "ROOT", package.parent)
    run = runs.start(runs.Request(kind="score", name="try"))
    assert (run.status().state, run.request.name) == ("queued", "try")
    assert run.request.cwd == os.getcwd()
    logs(run, "'run'")
    assert run.log_tail() == f"True ['run', {run.id!r}]"
    pid = json.loads(run.file("process.json").read_text())["pid"]
    runs.stop(run, "discard")
    assert processes.process_start_time(pid) is None and runs.list_runs() == []


def test_a_started_job_finds_the_packages_in_a_checkout_and_in_an_installation(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", "theirs")
    assert launcher.search_path(tmp_path) == [str(tmp_path), "theirs"]
    monkeypatch.setattr(launcher.site, "getsitepackages", lambda: [str(tmp_path)])
    assert launcher.search_path(tmp_path) == ["theirs"]


def test_the_folder_a_job_starts_in_never_replaces_the_programs_modules(tmp_path, monkeypatch):
    (tmp_path / "psutil.py").write_text("raise SystemExit('of the current folder')")
    (tmp_path / "ctsft.py").write_text("raise SystemExit('of the current folder')")
    monkeypatch.chdir(tmp_path)
    run = runs.start(runs.Request(kind="nothing"))
    logs(run, "not of this version")
