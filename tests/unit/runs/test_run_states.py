"""What a reader sees of runs whose job is silent, damaged, dead or on another machine."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from ctsft import runs
from ctsft.runs import folder as runs_folder
from ctsft.runs import processes
from support.runs import IDLE, SCORE, child, logs, queued, until, waiting
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize(
    "text",
    ["", '{"state": "run', "[]", '{"state": "dancing", "progress": "much", "stage": "scoring"}'],
)
def test_half_written_files_do_not_break_reading(text):
    run = queued("score")
    run.file("status.json").write_text(text)
    run.file("request.json").write_text(text)
    assert run.status().state == "lost"  # no word of an end, no known process
    assert "scoring" in run.status().message or "scoring" not in text
    assert run.request.kind == "score" and run.request.created > 0
    assert [listed.id for listed in runs.list_runs("score")] == [run.id]


def test_an_unreadable_status_of_a_live_process_reads_as_running():
    run = child("time.sleep(60)")
    run.file("status.json").write_text("{")
    assert run.status().state == "running"


def test_a_killed_process_reads_as_lost_with_the_end_of_its_log():
    run = waiting("    run.progress(1, 2, 'means'); print('10%\\r20%\\rlast words')\n" + IDLE)
    logs(run, "last words")
    assert wait_until(lambda: run.status().progress == 0.5)
    os.kill(run.status().pid, 9)
    status = until(run, "lost")
    assert run.log_tail().splitlines() == ["begun", "last words"]
    assert "last words" in status.message and "'means'" in status.message and status.progress == 0.5
    assert [row["step"] for row in run.events()] == [1]


def test_a_job_that_dies_before_it_records_anything_is_lost_at_once():
    run = child("sys.exit('no such task')")
    assert "no such task" in until(run, "lost").message


def test_a_queued_run_has_time_to_get_a_process(monkeypatch):
    run = queued()
    run.file("status.json").write_text(json.dumps({"state": "queued", "heartbeat": time.time()}))
    assert run.status().state == "queued"
    monkeypatch.setattr(runs_folder, "GRACE", 0.0)
    assert run.status().state == "lost"


def test_a_recycled_pid_is_not_mistaken_for_the_job():
    with runs.record(SCORE) as run:
        row = json.loads(run.file("status.json").read_text())
        assert run.status().state == "running"
        run.file("status.json").write_text(
            json.dumps({**row, "pid_started": row["pid_started"] - 1})
        )
        assert run.status().state == "lost"


def test_a_job_that_ends_between_two_looks_is_not_lost(monkeypatch):
    with runs.record(SCORE) as run:
        running = run.file("status.json").read_text()
    done = run.file("status.json").read_text()
    run.file("status.json").write_text(running)

    def gone(process):
        # its last act falls between reading the file and looking for the process
        run.file("status.json").write_text(done)
        return False

    monkeypatch.setattr(runs_folder, "is_alive", gone)
    assert run.status().state == "done"


def test_a_zombie_is_dead():
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', '']);"
        " print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
        assert wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        assert psutil.pid_exists(pid) and processes.process_start_time(pid) is None
        assert processes.process_start_time(parent.pid) is not None
    finally:
        parent.kill()
        parent.communicate()


def test_children_of_this_process_are_reaped():
    run = child("pass")
    pid = json.loads(run.file("process.json").read_text())["pid"]
    until(run, "lost")
    assert wait_until(lambda: not psutil.pid_exists(pid))


def test_a_run_on_another_machine_is_judged_by_its_heartbeat():
    run = queued()
    row = {"state": "running", "pid": 1, "pid_started": 5.0, "host": "elsewhere"}
    run.file("status.json").write_text(json.dumps({**row, "heartbeat": time.time() - 5}))
    assert run.status().state == "running"
    with pytest.raises(runs.RunError, match="elsewhere"):
        runs.kill(run)
    run.file("status.json").write_text(
        json.dumps({**row, "heartbeat": time.time() - runs_folder.STALE - 5})
    )
    assert run.status().state == "lost"
