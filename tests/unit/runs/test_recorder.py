"""What a job records can be read back while it runs, when it has ended, and when it has failed."""

import json
import os
import sys
import threading
import time

import pytest

from ctsft import runs
from ctsft.runs import writer
from support.runs import SCORE
from support.waiting import stopped_clock, wait_until

pytestmark = pytest.mark.usefixtures("folder")


def test_a_recorded_run_can_be_read_back(folder):
    with runs.record(runs.Request(kind="score", name="first")) as run:
        assert run.status().state == "running" and run.status().pid == os.getpid()
        run.progress(1, 4, "means")
        run.event(step=1, loss=0.5)
        run.event(step=2, heads={(1, 2), (0, 3)})
        run.add_facts(torch="2")
        run.add_facts(model="abc")
        run.file("scores.txt").write_text("1")
    seen = runs.get(run.id)
    status = seen.status()
    assert (status.state, status.progress, status.stage, status.eta, status.message) == (
        "done",
        1.0,
        "means",
        None,
        "",
    )
    assert status.started <= status.heartbeat and status.finished
    assert [{k: v for k, v in row.items() if k != "time"} for row in seen.events()] == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "heads": [[0, 3], [1, 2]]},
    ]
    assert [row["step"] for row in seen.events(since=1)] == [2]
    request = seen.request
    assert (request.kind, request.name, request.cwd) == ("score", "first", os.getcwd())
    assert request.facts == runs.Facts(torch="2", model="abc")
    assert seen.path.parent == folder and seen.file("scores.txt").read_text() == "1"


def test_progress_reaches_readers_with_an_eta_of_its_own_stage(monkeypatch):
    monkeypatch.setattr(writer, "TICK", 0.02)
    clock = stopped_clock()
    monkeypatch.setattr(writer, "time", clock)
    with runs.record(SCORE) as run:
        run.progress(0, 10, "means")
        clock.now += 5.0
        run.progress(50, 100, "scoring")  # resumed half way: these 50 took no time
        clock.now += 0.2
        run.progress(60, 100, "scoring")
        before = time.time()
        assert wait_until(lambda: run.status().progress == 0.6)
        status = run.status()
        assert status.stage == "scoring" and status.advanced <= before
        # 10 of them took 0.2 s, 40 are left
        assert status.eta == pytest.approx(0.8)


def test_the_heartbeat_goes_on_in_silence_and_progress_does_not(monkeypatch):
    monkeypatch.setattr(writer, "TICK", 0.02)
    monkeypatch.setattr(writer, "BEAT", 0.04)
    with runs.record(SCORE) as run:
        first = run.status()
        assert wait_until(lambda: run.status().heartbeat > first.heartbeat)
        later = run.status()
    assert later.heartbeat > first.heartbeat and later.advanced == first.advanced


def test_an_exception_is_told_in_one_sentence_and_passed_on():
    with pytest.raises(ValueError), runs.record(SCORE) as run:
        raise ValueError("'x' is no task; choose from demo\nand a second line")
    assert (run.status().state, run.status().message) == (
        "failed",
        "'x' is no task; choose from demo",
    )
    assert "Traceback" in run.log_tail() and run.status().progress == 0
    with pytest.raises(KeyError), runs.record(SCORE) as run:
        {}["head"]
    assert run.status().message == "KeyError: 'head'"
    with pytest.raises(TypeError), runs.record(SCORE) as run:
        run.event(odd=object())
    with pytest.raises(SystemExit), runs.record(SCORE) as run:
        sys.exit(2)
    assert run.status().state == "failed"
    with pytest.raises(KeyboardInterrupt), runs.record(SCORE) as run:
        raise KeyboardInterrupt
    assert run.status().state == "stopped"


def test_torn_lines_are_skipped_and_the_next_writer_starts_a_new_one():
    with runs.record(SCORE) as run:
        run.event(step=1)
        with open(run.file("events.jsonl"), "ab") as file:
            file.write(b'{"step": 2, "lo')
        assert [row["step"] for row in run.events()] == [1]
    with runs.record(SCORE, run.id) as again:
        again.event(step=3)
    assert [row["step"] for row in run.events()] == [1, 3]
    with open(run.file("events.jsonl"), "ab") as file:
        file.write(b'\x00\xff\x00\n7\n{"step": 4}\n{"step": 5}')
    assert [row["step"] for row in run.events()] == [1, 3, 4]


def test_readers_never_see_half_a_file():
    with runs.record(SCORE) as run:
        over, bad, seen = threading.Event(), [], set()

        def look():
            while not over.is_set():
                try:
                    seen.add(json.loads(run.file("status.json").read_bytes())["stage"][:1])
                except ValueError as error:
                    bad.append(error)

        readers = [threading.Thread(target=look, daemon=True) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            for step in range(200):
                run.progress(step, 200, "ab"[step % 2] * 5000)
                run._save()
        finally:
            over.set()
        for reader in readers:
            reader.join()
    assert bad == [] and seen >= {"a", "b"}
