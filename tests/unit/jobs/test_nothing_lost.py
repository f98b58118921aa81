"""Nothing is lost when runs are killed at random moments; time left, waiting, discarding."""

import io
import json
import os
import random
import time

import pytest

from ctsft import runs
from ctsft.runs import results, writer
from ctsft.runs.device_queue import device_turn
from ctsft.tuning import checkpoints
from support.processes import start_code
from support.runs import until
from support.shell import parsed
from support.training import CIRCUIT, DROPOUT, timeless
from support.waiting import stopped_clock, wait_until

SEED = 20


SERVER = (
    "import time\nfrom ctsft import runs\nfrom ctsft.jobs.requests import from_json\n"
    "print(runs.start(from_json({request!r})).id, flush=True)\ntime.sleep(600)"
)


@pytest.fixture
def words(fork_server, subject, build, tmp_path):
    """The command of a run of 120 steps, with dropout, evaluated every 20, its checkpoints at other
    steps than its evaluations.
    """
    CIRCUIT.save(tmp_path / "circuit.json")
    model = build("gpt2", **DROPOUT)
    for part in (model.hf, model.tokenizer):
        part.save_pretrained(tmp_path / "gpt2")
    return [
        "finetune",
        "--model",
        str(tmp_path / "gpt2"),
        "--task",
        subject.task,
        "--device",
        "cpu",
        "--target",
        "javanese",
        "--what",
        "circuit",
        "--circuit",
        str(tmp_path / "circuit.json"),
        "--n",
        "24",
        "--epochs",
        "30",
        "--batch",
        "6",
        "--lr",
        "1e-3",
        "--eval-every",
        "20",
        "--checkpoint-every",
        "7",
    ]


def finished(run):
    until(run, "done")
    return (
        run.file("delta.safetensors").read_bytes(),
        timeless(results.result(run)["history"]),
        timeless(results.evaluations(run)),
    )


def step(run) -> int:
    return max(
        [checkpoints.step_of(path) for path in run.file("checkpoints").glob("checkpoint-*")],
        default=0,
    )


def kill_when(run, moment):
    """SIGKILL as soon as `moment()` is true; the step of the newest checkpoint then."""
    end = time.monotonic() + 120
    while not moment():
        assert run.status().active and time.monotonic() < end, (run.status(), run.log_tail())
        time.sleep(0.001)
    os.kill(json.loads(run.file("process.json").read_text())["pid"], 9)
    until(run, "lost")
    return step(run)


def test_a_run_killed_at_random_moments_ends_as_if_nothing_had_happened(words, tmp_path):
    draw = random.Random(SEED)
    request = parsed(words)
    whole = runs.start(request)
    expected = finished(whole)
    assert [row["step"] for row in expected[1]] == list(range(0, 121, 20)) and expected[1] == [
        {key: value for key, value in row.items() if key not in ("kind", "time")}
        for row in expected[2]
    ]
    code = SERVER.format(request=request.model_dump_json())
    server = start_code(code, tmp_path / "server")
    printed = server.folder / "out"
    assert wait_until(lambda: printed.read_text().endswith("\n")), server
    run, killed = runs.get(printed.read_text().strip()), []
    # steps; then up to 30 ms more, or when half a checkpoint is written
    after = sorted(draw.sample(range(1, 100), 3))
    part = draw.randrange(3)

    def moment(i):
        if step(run) < after[i]:
            return False
        if i == part:
            half = any(run.file("checkpoints").glob(".checkpoint-*.part"))
            # a busy machine may look away while one is written: then after three whole ones
            return half or step(run) >= after[i] + 21
        time.sleep(draw.random() * 0.03)
        return True

    for i in range(3):
        killed.append(kill_when(run, lambda i=i: moment(i)))
        if i == 0:
            # the server that started it, too
            server.kill()
            assert server.wait()[0] == -9
            assert run.status().state == "lost"
        assert killed[i] >= after[i] and not run.file("result.json").exists()
        runs.resume(run)
    got = finished(run)
    assert got[0] == expected[0], "the delta differs"
    assert got[1] == expected[1]
    assert [
        {key: value for key, value in row.items() if key not in ("kind", "time")} for row in got[2]
    ] == expected[1]
    resumed = [row["step"] for row in run.events() if row.get("kind") == "resumed"]
    assert set(resumed) == set(killed), (
        "it went on from the newest checkpoint each time, not from the start"
    )


def test_time_left_after_a_resume_counts_only_what_was_done_since(monkeypatch):
    clock = stopped_clock()
    monkeypatch.setattr(writer, "time", clock)
    with runs.record(runs.Request(kind="finetune")) as run:
        run.progress(0, 1, "tuning")  # the stage is announced
        clock.now += 5.0
        run.progress(500, 1000, "tuning")  # resumed half way
        clock.now += 0.2
        run.progress(510, 1000, "tuning")
        # 10 steps took 0.2 s, 490 are left
        assert run._now.eta == pytest.approx(9.8)
        run.progress(0, 1, "next")
        assert run._now.eta is None


def test_a_job_of_the_shell_waits_for_its_turn_and_can_be_stopped_while_it_waits(words):
    with device_turn("cpu", "the-other-run") as mine:
        assert mine
        holds = os.environ.pop("CTSFT_HOLDS")
        run = runs.start(parsed(words))
        os.environ["CTSFT_HOLDS"] = holds
        wait_until(lambda: run.status().message == "waiting for run the-other-run")
        assert (run.status().state, run.status().message) == (
            "queued",
            "waiting for run the-other-run",
        )
        runs.stop(run)
        until(run, "stopped")
    # nothing was begun
    assert not run.file("checkpoints").exists()


def test_discarding_asks_first(words, monkeypatch, capsys):
    from ctsft.cli.main import main

    with runs.record(runs.Request(kind="score")) as run:
        pass
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert (
        main(["runs", "discard", run.id]) == 2
        and "--yes" in capsys.readouterr().err
        and run.path.is_dir()
    )
    assert main(["runs", "discard", run.id, "--yes"]) == 0 and not run.path.exists()
