"""Nothing is lost: runs killed at random moments, torn files, a full disk, a wish to stop; each
time the same bits come out in the end.

`test_a_run_killed_at_random_moments_ends_as_if_nothing_had_happened` starts real processes and
kills them (SIGKILL).
"""

import io
import json
import os
import random
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file

from ctsft import runs
from ctsft.jobs import tuning, tuning_table
from ctsft.runs import results, writer
from ctsft.runs.device_queue import device_turn
from ctsft.tuning import checkpoints
from ctsft.tuning.checkpoints import newest_checkpoint
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.finetune import NotFinite, Watch, finetune
from ctsft.utils import atomic_files
from support.jobs import finetune_request, tuned
from support.processes import start_code
from support.runs import until
from support.shell import parsed
from support.tasks import cued
from support.training import CIRCUIT, QUICK, same, stopping, timeless
from support.waiting import stopped_clock, wait_until

SEED = 20


# so that torch's generator counts
DROPOUT = {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1}


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


@pytest.fixture(scope="module")
def uninterrupted(build, task):
    """A tuned GPT-2, with dropout, and its history."""
    model = build("gpt2", **DROPOUT)
    return model, timeless(
        finetune(model, task, CIRCUIT, cued(12), {"a": cued(6, 1)}, EVERY).history
    )


# 9 steps; losses between evaluations count
EVERY = QUICK.model_copy(update={"eval_every": 4, "checkpoint_every": 1})


def resumed(build, task, folder):
    model = build("gpt2", **DROPOUT)
    history = finetune(
        model, task, CIRCUIT, cued(12), {"a": cued(6, 1)}, EVERY, Watch(folder=folder, resume=True)
    ).history
    return model, timeless(history)


@pytest.fixture
def stopped(build, task, tmp_path):
    """The checkpoints of a run that was asked to stop after step 6; two steps behind an
    evaluation.
    """
    watch = Watch(folder=tmp_path / "c", stop=stopping(after=6))
    result = finetune(
        build("gpt2", **DROPOUT), task, CIRCUIT, cued(12), {"a": cued(6, 1)}, EVERY, watch
    )
    # where it stood when it stopped is measured
    assert result.stopped and [row["step"] for row in result.history] == [0, 4, 6]
    assert newest_checkpoint(tmp_path / "c").endswith("checkpoint-6")
    return tmp_path / "c"


def test_a_stopped_run_goes_on_to_the_same_history(build, task, stopped, uninterrupted):
    model, history = resumed(build, task, stopped)
    assert (
        same(model, uninterrupted[0])
        and history == uninterrupted[1]
        and [row["step"] for row in history] == [0, 4, 8, 9]
    )


def test_without_the_generators_or_the_losses_it_would_not(build, task, stopped, uninterrupted):
    """The control: what the checkpoint holds is needed."""
    path = stopped / "checkpoint-6"
    watched = json.loads((path / "history.json").read_text())
    assert len(watched["losses"]) == 2
    again = shutil.copytree(stopped, stopped.with_name("again"))
    (again / path.name / "history.json").write_text(json.dumps(watched | {"losses": []}))
    model, history = resumed(build, task, again)
    assert same(model, uninterrupted[0]) and history != uninterrupted[1]
    state = torch.load(path / "rng_state.pth", weights_only=False)
    torch.save(
        state | {"cpu": torch.Generator().manual_seed(1).get_state()}, path / "rng_state.pth"
    )
    assert not same(resumed(build, task, stopped)[0], uninterrupted[0])


@pytest.mark.parametrize("damage", ["half", "empty", "zeros", "gone"])
@pytest.mark.parametrize(
    "name",
    [
        "trained.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
        "history.json",
    ],
)
def test_a_torn_checkpoint_is_passed_over(stopped, name, damage):
    path = stopped / "checkpoint-6" / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"half": data[: len(data) // 2], "empty": b"", "zeros": bytes(len(data))}[damage]
        )
    assert newest_checkpoint(stopped).endswith("checkpoint-5")


def test_a_run_goes_on_from_the_checkpoint_before_a_torn_one(build, task, stopped, uninterrupted):
    path = stopped / "checkpoint-6" / "optimizer.pt"
    path.write_bytes(path.read_bytes()[:-30])
    (stopped / ".checkpoint-6.part").mkdir()
    model, history = resumed(build, task, stopped)
    assert (
        same(model, uninterrupted[0])
        and history == uninterrupted[1]
        and not list(stopped.glob(".*"))
    )


def test_a_full_disk_ends_tuning_in_one_sentence_and_the_run_can_go_on(
    subject,
    scored,
    monkeypatch,
):
    whole, _ = tuned(subject, scored)
    real, calls = atomic_files.free_bytes, []

    def free(folder):
        calls.append(folder)
        return 1000 if len(calls) > 2 else real(folder)  # two checkpoints fit

    monkeypatch.setattr(atomic_files, "free_bytes", free)
    request = finetune_request(subject, scores=scored.id, k=3, n=12)
    with pytest.raises(atomic_files.DiskFull) as error, runs.record(request) as run:
        tuning.tune(run, request)
    assert (
        "the checkpoint of step 6" in str(error.value)
        and "1 kB free" in str(error.value)
        and str(run.path) in str(error.value)
    )
    assert (run.status().state, run.status().message) == ("failed", str(error.value)[:300])
    assert [path.name for path in checkpoints.checkpoints(run.file("checkpoints"))] == [
        "checkpoint-2",
        "checkpoint-4",
    ]
    assert [row["step"] for row in results.evaluations(run)] == [0, 2, 4, 6]
    monkeypatch.setattr(atomic_files, "free_bytes", real)
    tuned(subject, scored, run_id=run.id)
    assert (
        run.file("delta.safetensors").read_bytes() == whole.file("delta.safetensors").read_bytes()
    )


def test_a_loss_that_is_no_number_keeps_the_last_good_state(subject, scored, build, task, tmp_path):
    """A learning rate that makes step 1 explode: the state before it is what stands in the end."""
    wild, fresh = (
        QUICK.model_copy(update={"learning_rate": 1e30, "checkpoint_every": 1}),
        build("llama"),
    )
    model = build("llama")
    with pytest.raises(NotFinite) as error:
        finetune(model, task, "full", cued(12), {"a": cued(6)}, wild, Watch(folder=tmp_path))
    assert same(model, fresh) and [row["step"] for row in error.value.result.history][:1] == [0]
    assert newest_checkpoint(tmp_path) is None  # the exploded one is gone
    config = TuneConfig(**wild.model_dump() | {"epochs": 3})
    request = finetune_request(subject, config, what="full", n=12)
    with pytest.raises(NotFinite, match=r"step 1 \(of 9\)"), runs.record(request) as run:
        tuning.tune(run, request)
    status, row = run.status(), tuning_table.table_row(run)
    assert (
        status.state == "failed"
        and "An answer after step 1 (of 9) is NaN or infinite" in status.message
        and "the model is as it was before the first step" in status.message
    )
    assert (
        row["state"] == "failed"
        and row["source_before"] == row["source_after"] == 1
        and [one["step"] for one in results.evaluations(run)] == [0]
        and results.result(run)["history"]
        == [
            {key: value for key, value in one.items() if key not in ("kind", "time")}
            for one in results.evaluations(run)
        ]
        and run.file("delta.safetensors").is_file()
    )
    assert all(
        value.isfinite().all() for value in load_file(run.file("delta.safetensors")).values()
    )


def test_a_loss_that_breaks_late_goes_back_one_step(build, task, tmp_path):
    """Control by hand: the state after step 4, since the loss at step 6 is NaN and was finite at
    step 5.
    """
    four, broken = build("qwen2"), build("qwen2")
    finetune(four, task, CIRCUIT, cued(12), {}, EVERY, Watch(stop=stopping(after=4)))
    rows, seen = cued(12), []

    def spoil(step, steps):
        if step == 5:
            seen.append(step)
            with torch.no_grad():
                broken.hf.trained_slices.weights["0"].fill_(float("nan"))

    with pytest.raises(NotFinite, match=r"step 6 \(of 9\).*after step 4 remains"):
        finetune(broken, task, CIRCUIT, rows, {}, EVERY, Watch(progress=spoil, folder=tmp_path))
    assert (
        seen == [5] and same(four, broken) and newest_checkpoint(tmp_path).endswith("checkpoint-4")
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
