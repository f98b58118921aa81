"""Tuning runs: what is reported, that they learn, that they can be repeated, stopped and resumed to
the bit, and what they keep.
"""

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from ctsft.circuit.circuit import Circuit
from ctsft.model.evaluation import accuracy
from ctsft.model.perplexity import perplexity
from ctsft.tuning.checkpoints import TRAINED, newest_checkpoint
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.evaluation_sets import TaskRows, Texts
from ctsft.tuning.finetune import NotFinite, Watch, finetune
from ctsft.tuning.trainable import trainable_count
from support.errors import said
from support.tasks import cued
from support.training import CIRCUIT, HEADS, QUICK, same, stopping, timeless


@pytest.mark.parametrize(("what", "lr"), [(CIRCUIT, 3e-2), ("full", 1e-2), ("norms", 5e-2)])
def test_tuning_lowers_the_loss_and_raises_the_accuracy(build, task, what, lr):
    model, rows = build("qwen2"), cued(24)
    history = finetune(
        model,
        task,
        what,
        rows,
        {"target": rows},
        TuneConfig(epochs=12, learning_rate=lr, batch_size=8),
    ).history
    assert history[-1]["loss"] < 0.6 * history[1]["loss"]
    assert history[-1]["accuracy"]["target"] > history[0]["accuracy"]["target"] + 0.3
    assert history[-1]["accuracy"]["target"] == accuracy(model, task, rows)


def test_history_has_a_row_an_evaluation_and_the_first_is_before_the_first_step(
    build, task, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    model, sets, seen, progress = (
        build("llama"),
        {"indonesian": cued(6, 1), "javanese": cued(9, 2)},
        [],
        [],
    )
    before = {name: accuracy(model, task, rows) for name, rows in sets.items()}
    result = finetune(
        model,
        task,
        CIRCUIT,
        cued(12),
        sets,
        QUICK.model_copy(update={"eval_every": 4}),
        Watch(seen.append, lambda step, steps: progress.append((step, steps))),
    )
    assert [(row["step"], row["steps"]) for row in result.history] == [
        (0, 9),
        (4, 9),
        (8, 9),
        (9, 9),
    ] and seen == result.history
    assert (
        result.history[0]["accuracy"] == before
        and result.history[0]["loss"] is None
        and result.history[0]["epoch"] == 0
    )
    assert result.history[-1]["accuracy"] == {
        name: accuracy(model, task, rows) for name, rows in sets.items()
    }
    assert (
        all(math.isfinite(row["loss"]) and row["loss"] > 0 for row in result.history[1:])
        and result.history[-1]["epoch"] == 3
    )
    assert (
        progress == [(step, 9) for step in range(10)]
        and result.model is model
        and not (result.stopped or model.hf.training)
    )
    # nothing is left lying about
    assert not list(tmp_path.glob("*")) and capsys.readouterr().out == ""


def test_the_first_loss_is_the_cross_entropy_of_the_label_token_at_the_readout(build, task):
    model, rows = build("gpt2", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0), cued(4)
    expected = []
    for row in rows:
        with torch.no_grad():
            logits = model.hf(torch.tensor([task.encode(model, row)])).logits[0, -1]
        expected.append(-logits.log_softmax(-1)[task.label_ids(model)[row.label]].item())
    history = finetune(model, task, CIRCUIT, rows, {}, TuneConfig(epochs=1, batch_size=4)).history
    assert history[1]["loss"] == pytest.approx(sum(expected) / 4, rel=1e-4)


def test_a_run_is_repeated_to_the_bit_by_its_seed(build, task):
    models = [build("gpt2") for _ in range(3)]
    for model, seed in zip(models, (31, 31, 777), strict=True):
        finetune(model, task, CIRCUIT, cued(12), {}, QUICK.model_copy(update={"seed": seed}))
    assert same(models[0], models[1]) and not same(models[0], models[2])


@pytest.mark.parametrize(
    ("family", "what"),
    [("gpt2", CIRCUIT), ("qwen2", CIRCUIT), ("llama", "norms"), ("gpt2", "full")],
)
def test_a_stopped_run_keeps_what_it_has_and_resumes_to_the_same_bits(
    build, task, tmp_path, family, what
):
    whole, first, second, stale = (build(family) for _ in range(4))
    config, sets = QUICK.model_copy(update={"eval_every": 2}), {"a": cued(6, 1)}
    uninterrupted = finetune(whole, task, what, cued(12), sets, config)
    stopped = finetune(
        first, task, what, cued(12), sets, config, Watch(stop=stopping(after=4), folder=tmp_path)
    )
    assert (
        stopped.stopped
        and [row["step"] for row in stopped.history] == [0, 2, 4]
        and not same(first, build(family))
    )
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-4")
    resumed = finetune(
        second, task, what, cued(12), sets, config, Watch(folder=tmp_path, resume=True)
    )
    assert same(second, whole) and not same(second, first)
    assert timeless(resumed.history) == timeless(uninterrupted.history) and not resumed.stopped
    # nothing there: from the start
    finetune(
        stale, task, what, cued(12), sets, config, Watch(folder=tmp_path / "empty", resume=True)
    )
    assert same(stale, whole)


def test_a_checkpoint_holds_only_what_moves(build, task, tmp_path):
    model = build("qwen2")
    finetune(
        model,
        task,
        CIRCUIT,
        cued(12),
        {},
        QUICK.model_copy(update={"checkpoint_every": 3}),
        Watch(folder=tmp_path),
    )
    # the two newest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-6", "checkpoint-9"]
    size = trainable_count(model, HEADS)
    assert (
        sum(value.numel() for value in load_file(tmp_path / "checkpoint-9" / TRAINED).values())
        == size
    )
    state = torch.load(tmp_path / "checkpoint-9" / "optimizer.pt", weights_only=True)["state"]
    assert (
        sum(value.numel() for row in state.values() for value in row.values() if value.numel() > 1)
        <= 2 * size
    )
    assert not list(tmp_path.rglob("model*.safetensors")) + list(tmp_path.rglob("pytorch_model*"))
    # torn: the one before it serves
    (tmp_path / "checkpoint-9" / TRAINED).unlink()
    assert (
        newest_checkpoint(tmp_path).endswith("checkpoint-6")
        and newest_checkpoint(tmp_path / "none") is None
    )


def test_a_loss_that_is_not_finite_ends_the_run_in_one_sentence(build, task):
    model = build("llama")
    wild = QUICK.model_copy(update={"learning_rate": 1e30})
    said(
        lambda: finetune(model, task, "full", cued(12), {}, wild),
        "The loss of step 2 (of 9) is NaN or infinite",
        "1e+30",
        "lower",
    )
    assert not any(module._forward_hooks for module in model.hf.modules())


@pytest.mark.parametrize("sets", [{}, {"a": cued(6)}], ids=["no rows", "rows"])
@pytest.mark.parametrize("what", [CIRCUIT, "full"], ids=["circuit", "full"])
def test_the_state_after_the_last_step_is_checked_like_every_other(build, task, what, sets):
    """One step, so that no later loss shows that it exploded. Control: the same step, small."""
    model, fresh, restored = build("llama"), build("llama"), []
    one = TuneConfig(epochs=1, learning_rate=1e30, batch_size=12)
    with pytest.raises(NotFinite, match=r"after step 1 \(of 1\).*before the first step") as error:
        watch = Watch(restored=lambda step, history: restored.append((step, list(history))))
        finetune(model, task, what, cued(12), sets, one, watch)
    result = error.value.result
    assert same(model, fresh) and result.changed == 0 and result.stopped
    assert [row["step"] for row in result.history] == [0] and restored == [(0, result.history)]
    small = one.model_copy(update={"learning_rate": 1e-3})
    result = finetune(model, task, what, cued(12), sets, small)
    assert [row["step"] for row in result.history] == [0, 1]
    assert 0 < result.changed <= result.trainable


def test_going_back_measures_the_state_that_remains(build, task):
    """The state after step 5 breaks, between two evaluations: the history ends with the state
    after step 4, measured, and with its mean loss.
    """
    four, broken, sets = build("qwen2"), build("qwen2"), {"a": cued(9, 1)}
    every = QUICK.model_copy(update={"eval_every": 3})

    def spoil(step, steps):
        if step == 5:
            with torch.no_grad():
                broken.hf.trained_slices.weights["0"].fill_(float("nan"))

    seen, restored = [], []
    watch = Watch(
        seen.append, spoil, restored=lambda step, history: restored.extend([step, list(history)])
    )
    with pytest.raises(NotFinite, match="the state after step 4 remains"):
        finetune(broken, task, CIRCUIT, cued(12), sets, every, watch)
    expected = finetune(four, task, CIRCUIT, cued(12), sets, every, Watch(stop=stopping(after=4)))
    assert same(four, broken) and timeless(restored[1]) == timeless(expected.history)
    assert restored[0] == 4 and [row["step"] for row in seen] == [0, 3, 4]


def test_what_cannot_be_tuned_is_refused(build, loaded, task):
    model = loaded["llama"]
    said(lambda: finetune(model, task, CIRCUIT, [], {}), "no rows")
    said(lambda: finetune(model, task, Circuit(frozenset({(5, 0)})), cued(3), {}), "L5.H0")
    said(
        lambda: finetune(model, task, Circuit(HEADS, model={"model_type": "gpt2"}), cued(3), {}),
        "'gpt2'",
        "'llama'",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": -1},
        {"batch_size": 0},
        {"seed": -1},
        {"weight_decay": -0.1},
        {"max_grad_norm": 0},
        {"kv": "both"},
        {"lr": 1e-3},
        {"epochs": "many"},
        *(
            {name: float(value)}
            for name in ("epochs", "learning_rate", "weight_decay", "max_grad_norm", "lora_alpha")
            for value in ("inf", "nan")
        ),
        {"batch_size": float("nan")},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError) as error:
        TuneConfig(**wrong)
    assert error.value.errors()[0]["loc"] == tuple(wrong)


def test_the_defaults_are_the_papers():
    config = TuneConfig()
    assert (
        config.epochs,
        config.learning_rate,
        config.batch_size,
        config.seed,
        config.weight_decay,
        config.kv,
    ) == (5, 5e-5, 16, 31, 0, "group")


def test_related_tasks_and_texts_are_measured_before_during_and_after(build, task):
    """A related task has its own prompt and labels; the figures are those of the library."""
    model, rows = build("qwen2"), cued(12)
    topic = replace(task, name="topic", prompt="{text} | topic:", labels=("positive", "negative"))
    others = [row for row in cued(18, 3) if row.label in topic.labels]
    words = [row.text for row in rows]
    sets = {"indonesian": rows, "topic": TaskRows(topic, others), "words": Texts(words)}
    before = accuracy(model, topic, others), perplexity(model, words)
    history = finetune(model, task, "full", rows, sets, QUICK).history
    assert len(history) > 2
    assert {tuple(row["accuracy"]) for row in history} == {("indonesian", "topic")}
    assert history[0]["accuracy"]["topic"] == before[0]
    assert history[0]["perplexity"] == {"words": before[1]}
    assert history[-1]["accuracy"]["topic"] == accuracy(model, topic, others)
    assert history[-1]["perplexity"]["words"] == perplexity(model, words) != before[1]
    assert all(row["metrics"].keys() == row["accuracy"].keys() for row in history)


def test_a_related_task_that_the_model_cannot_answer_is_refused(build, task):
    wrong = replace(task, labels=("not one token of any tokenizer", "good"))
    sets = {"a": cued(3), "b": TaskRows(wrong, cued(3))}
    model = build("qwen2")
    first = model.fingerprint
    said(lambda: finetune(model, task, "full", cued(6), sets, QUICK), "one token")
    assert model.fingerprint == first
