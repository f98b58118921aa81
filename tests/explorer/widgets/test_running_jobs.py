"""The sidebar's list of jobs: what runs is shown on every page with its percentage and a stop
button, and a job that ends is announced once.
"""

import time

import pytest

from ctsft import runs
from ctsft.runs.folder import write_json
from explorer.session import view as session_view
from support.pages import alive, shown, visit


def write(run: runs.Run, **fields):
    """The status of a job of this process."""
    pid, started = alive()
    status = runs.Status(pid=pid, pid_started=started, heartbeat=time.time(), **fields)
    write_json(run.file("status.json"), status)


@pytest.fixture
def job():
    """A waiting or running job of this process: job(kind, name, progress) -> the run."""

    def start(kind: str, name: str = "", progress: float = 0.0) -> runs.Run:
        with runs.record(runs.Request(kind=kind, name=name)) as run:
            pass
        write(run, state="running", progress=progress)
        return run

    return start


def listed(app) -> list[str]:
    return [one.proto.text for one in app.sidebar.get("progress")]


@pytest.mark.parametrize("page", ["setup", "relevance", "circuit", "finetune", "compare"])
def test_every_page_lists_what_runs_with_its_percentage(job, page):
    job("discover", "mine *x*", 0.43)
    job("score", "", 0.07)
    app = visit(session_view.View(), f"{page}/page.py")
    first, second = listed(app)
    assert first.startswith("Scoring · 7%") and "43%" in second
    assert second.startswith(r"Discovery: mine \*x\*"), "a name is text, not Markdown"


def test_stop_asks_the_job_to_save_and_end(job):
    run = job("discover")
    app = visit(session_view.View(), "setup/page.py")
    stop = next(one for one in app.sidebar.button if one.label == "Stop")
    shown(stop.click().run())
    assert run.status().state == "stopping"


def test_a_job_that_ends_is_announced_once(job):
    run = job("discover", progress=0.9)
    app = visit(session_view.View(), "setup/page.py")
    assert len(app.toast) == 0 and len(listed(app)) == 1
    write(run, state="done", progress=1.0)
    shown(app.run())
    assert [one.value for one in app.toast] == ["Discovery is done."] and listed(app) == []
    shown(app.run())
    assert len(app.toast) == 0


def test_a_job_whose_folder_is_gone_ends_the_list_without_an_error(job):
    run = job("discover")
    app = visit(session_view.View(), "setup/page.py")
    write(run, state="done")
    runs.delete(run)
    shown(app.run())
    assert [one.value for one in app.toast] == ["Discovery was discarded."]
