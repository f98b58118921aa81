"""Tuning from its checkpoints: stopped, torn, on a full disk, after a loss that is NaN."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from ctsft import runs
from ctsft.jobs import tuning, tuning_table
from ctsft.runs import results
from ctsft.tuning import checkpoints
from ctsft.tuning.checkpoints import newest_checkpoint
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.finetune import NotFinite, Watch, finetune
from ctsft.utils import atomic_files
from support.jobs import finetune_request, tuned
from support.tasks import cued
from support.training import CIRCUIT, DROPOUT, QUICK, same, stopping, timeless


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
