"""Runs that are stopped, killed, discarded and resumed, with real processes."""

import time

import pytest

from ctsft import runs
from ctsft.runs import processes
from support.runs import IDLE, SCORE, child, logs, until, waiting
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("folder")

OBEDIENT = """
    while not run.stop_requested(): time.sleep(0.02)
    run.file('kept.txt').write_text('kept')
"""


DEAF = "    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf')\n" + IDLE


def test_stop_and_keep_then_resume():
    run = waiting(OBEDIENT)
    runs.stop(run)
    until(run, "stopping", "stopped")
    until(run, "stopped")
    assert run.file("kept.txt").read_text() == "kept"
    child(
        "with runs.record(runs.Request(kind='finetune', name='more'), RUN) as run:\n"
        "    run.event(step=2,"
        " asked=run.stop_requested())\n",
        run,
    )
    # the old wish to stop is forgotten, also when resumed from the shell
    until(run, "done")
    runs.Run(run.path).file("stop").write_text("keep")
    with runs.record(runs.Request(kind="finetune"), run.id) as again:
        assert again.stop_requested() is None and again.status().state == "running"
    assert [(row["step"], row.get("asked")) for row in run.events()] == [(1, None), (2, None)]
    assert run.request.name == "more"


def test_a_job_that_does_not_listen_is_stopping_until_it_is_killed():
    run = waiting(IDLE)
    runs.stop(run)
    time.sleep(0.1)
    assert run.status().state == "stopping"
    runs.kill(run, wait=60)
    # SIGTERM let it say so
    assert run.status().state == "stopped" and "interrupted" in run.status().message


def test_a_job_deaf_to_sigterm_is_killed_with_its_children():
    run = waiting(
        "    import subprocess; p = subprocess.Popen(['sleep', '60']); run.event(step=2,"
        " pid=p.pid)\n" + DEAF
    )
    logs(run, "deaf")
    pid, helper = run.status().pid, run.events()[1]["pid"]
    runs.kill(run, wait=0.2)
    assert run.status().state == "stopped" and "ended before" in run.status().message
    assert wait_until(
        lambda: [processes.process_start_time(p) for p in (pid, helper)] == [None, None]
    )


def test_stop_and_discard_removes_process_and_folder(folder):
    run = waiting(IDLE)
    pid = run.status().pid
    runs.stop(run, "discard")
    assert processes.process_start_time(pid) is None and list(folder.iterdir()) == []
    with pytest.raises(runs.RunError, match="'keep', 'discard'"):
        runs.stop(run, "perhaps")


def test_running_runs_are_neither_deleted_nor_started_twice():
    with runs.record(SCORE) as run:
        with pytest.raises(runs.RunError, match="still running"):
            runs.delete(run)
        with pytest.raises(runs.RunError, match="running already"):
            runs.resume(run)
        with (
            pytest.raises(runs.RunError, match="running already"),
            runs.record(SCORE, run.id),
        ):
            pass
        assert run.path.is_dir()
    runs.delete(run)
    assert not run.path.exists() and runs.list_runs() == []
    runs.delete(run)  # by another tab, once more
