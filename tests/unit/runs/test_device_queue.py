"""Turns on a device, with real processes: who waits, in which order, and that a dead holder frees
its slot.
"""

import os
import subprocess
import sys

import psutil
import pytest

from ctsft import runs
from ctsft.jobs.requests import ScoreRequest, Subject, request_of
from ctsft.runs import device_queue, launcher
from ctsft.runs.folder import write_json
from ctsft.utils.errors import UserError
from support.runs import child, until
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("folder")

TURN = """
from ctsft.runs import device_queue as turns
with runs.record(runs.Request(kind='finetune'), RUN) as run:
    with turns.device_turn('cpu', RUN, run.waits, run.stop_requested) as mine:
        run.event(mine=mine)
        while mine and not run.stop_requested(): time.sleep(0.02)
"""


def starting():
    """A run that takes its turn on the CPU and keeps it until it is stopped."""
    run = child(TURN)
    until(run, "running", "queued")
    return run


def works(run):
    until(run, "running")
    return [row["mine"] for row in run.events()] == [True]


def waits(run, whom):
    """Queued behind `whom`, with a process, and nothing done."""
    return (
        wait_until(lambda: run.status().message == f"waiting for run {whom.id}")
        and until(run, "queued").pid
        and run.events() == []
    )


def test_runs_take_their_turns_in_order_and_a_killed_holder_frees_its_slot():
    first = starting()
    assert wait_until(lambda: works(first))
    second = starting()
    assert waits(second, first)
    third = starting()
    assert waits(third, first)
    with pytest.raises(runs.RunError, match="running already"):
        # it waits; it is not to be started twice
        runs.resume(second)
    os.kill(first.status().pid, 9)
    assert wait_until(lambda: works(second)) and waits(third, second)
    fourth = starting()
    assert waits(fourth, second)
    # one that waits can be stopped
    runs.stop(third)
    until(third, "stopped")
    assert [row["mine"] for row in third.events()] == [False]
    # a dead one that waited is passed over
    os.kill(fourth.status().pid, 9)
    until(fourth, "lost")
    fifth = starting()
    assert waits(fifth, second)
    runs.stop(second)
    assert wait_until(lambda: works(fifth)) and second.status().state == "stopped"
    runs.stop(fifth)
    until(fifth, "stopped")
    left = list((runs.home() / "locks").rglob("*.ticket")) + list(
        (runs.home() / "locks").rglob("*.holder")
    )
    assert left == []


def test_the_cpu_has_as_many_slots_as_one_says(monkeypatch):
    monkeypatch.setenv("CTSFT_SLOTS", "2")
    pair = [starting(), starting()]
    assert all(wait_until(lambda run=run: works(run)) for run in pair)
    third = starting()
    until(third, "queued")
    assert wait_until(lambda: {run.id in third.status().message for run in pair} == {True})
    monkeypatch.setenv("CTSFT_SLOTS", "no")
    with pytest.raises(UserError, match="CTSFT_SLOTS is 'no'"):
        device_queue.slot_count("cpu")
    monkeypatch.setenv("CTSFT_SLOTS", "3")
    assert (device_queue.slot_count("cpu"), device_queue.slot_count("cuda-0")) == (3, 1)


def test_a_run_inside_another_and_one_it_starts_share_its_turn():
    code = (
        "from ctsft.runs import device_queue as turns\nwith turns.device_turn("
        "'cpu', 'inner', print) as mine: print(mine)"
    )
    with (
        device_queue.device_turn("cpu", "outer") as mine,
        device_queue.device_turn("cpu", "nested", pytest.fail) as nested,
    ):
        assert mine and nested
        assert (
            subprocess.run(
                [sys.executable, "-c", code],
                cwd=launcher.ROOT,
                capture_output=True,
                text=True,
            ).stdout
            == "True\n"
        )
        # one that is nobody's child has to wait
        holds = os.environ.pop(device_queue.HELD_DEVICES)
        asked = []
        with device_queue.device_turn(
            "cpu", "stranger", asked.append, lambda: len(asked) > 1
        ) as strangers:
            assert not strangers and asked == ["waiting for run outer"] * 2
        os.environ[device_queue.HELD_DEVICES] = holds
    with device_queue.device_turn("cpu", "later", pytest.fail) as later:
        assert later


@pytest.mark.skipif(sys.platform != "linux", reason="reads which libraries a process holds")
def test_a_started_job_holds_no_torch_while_it_waits(monkeypatch):
    monkeypatch.setattr(launcher.fork_server, "fork", lambda job: None)
    first = starting()
    assert wait_until(lambda: works(first))
    job = runs.start(ScoreRequest(subject=Subject(device="cpu")))
    try:
        assert waits(job, first)
        process = psutil.Process(job.status().pid)
        assert not [part.path for part in process.memory_maps() if "torch" in part.path]
        assert process.memory_info().rss < 150e6, "bytes; with torch it is 300 MB and more"
        assert request_of(job) == ScoreRequest(subject=Subject(device="cpu")).model_copy(
            update={"created": job.request.created, "cwd": job.request.cwd}
        ), "nothing of the request was lost while it waited"
        control = psutil.Process()
        assert [part.path for part in control.memory_maps() if "torch" in part.path]
    finally:
        runs.stop(job)
    assert until(job, "stopped") and not job.file("result.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="jobs fork on Linux")
@pytest.mark.usefixtures("fork_server")
def test_a_forked_job_holds_little_of_its_own_while_it_waits():
    """It shares torch with the process that it was forked from."""
    first = starting()
    assert wait_until(lambda: works(first))
    job = runs.start(ScoreRequest(subject=Subject(device="cpu")))
    try:
        assert waits(job, first)
        assert psutil.Process(job.status().pid).memory_full_info().uss < 100e6, "bytes"
    finally:
        runs.stop(job)
    assert until(job, "stopped")


@pytest.mark.parametrize("again", [False, True])
def test_the_number_of_waiting_jobs_is_bounded(monkeypatch, again):
    monkeypatch.setattr(launcher, "MAX_WAITING", 2)
    monkeypatch.setattr(launcher, "_spawn", lambda run, *_: run)
    ended = runs.start(runs.Request(kind="score"))
    write_json(ended.file("status.json"), runs.Status(state="stopped"))
    for _ in range(2):
        waiting = runs.start(runs.Request(kind="score"))
        assert waiting.status().state == "queued"
    with pytest.raises(runs.RunError, match="2 jobs are waiting already, and at most 2 may"):
        runs.resume(ended) if again else runs.start(runs.Request(kind="score"))
    assert len(runs.list_runs()) == 3, "a refused job leaves no folder"
    runs.delete(ended)
    write_json(waiting.file("status.json"), runs.Status(state="done"))
    assert runs.start(runs.Request(kind="score"))
    for run in runs.list_runs():
        write_json(run.file("status.json"), runs.Status(state="done"))


def test_devices_are_told_without_torch_where_there_is_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(device_queue.sys, "platform", "linux")
    monkeypatch.setattr(device_queue, "torch_device", lambda: "cuda")
    monkeypatch.setattr(device_queue, "DEVICE_FILES", tmp_path)
    for name in ("nvme0", "null"):
        (tmp_path / name).touch()
    assert device_queue.device_key("auto") == "cpu"
    (tmp_path / "nvidia0").touch()
    assert device_queue.device_key("auto") == device_queue.device_key("map") == "cuda-0"


def test_devices_have_names_of_their_own():
    assert (
        device_queue.device_key("cpu"),
        device_queue.device_key("cuda"),
        device_queue.device_key("cuda:1"),
    ) == (
        "cpu",
        "cuda-0",
        "cuda-1",
    )
    assert (
        device_queue.device_key("auto")
        == device_queue.device_key("map")
        in ("cpu", "cuda-0", "mps")
    )
