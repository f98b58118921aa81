"""Holding the source, against a literal implementation that trains the whole model in float64 with
masks; what it leaves alone; and that a run with it is repeated and resumed to the bit.
"""

import pytest
import torch

from ctsft import Circuit, TuneConfig, Watch, finetune
from ctsft.cache import store
from ctsft.tuning import source_fisher
from ctsft.tuning.source_hold import SourceHold
from support.errors import said
from support.naive_tuning import (
    farthest,
    float64,
    loss_of,
    masks_of,
    naive_fisher,
    naive_tuning,
)
from support.tasks import cued
from support.training import HEADS, bits, may_move, same, stopping, trespassers

CIRCUIT = Circuit(HEADS)
SOURCE = cued(10, seed=5)
HELD = TuneConfig(epochs=4, learning_rate=1e-2, batch_size=12, hold=9.0)


CASES = [
    ("qwen2", "full", {}),
    ("llama", CIRCUIT, {}),
    ("llama", CIRCUIT, {"weight_decay": 0.1, "max_grad_norm": 0.05}),
    ("qwen2", "full", {"accumulate": 3, "batch_size": 4, "max_grad_norm": 0.05}),
]


@pytest.mark.parametrize(("family", "what", "changes"), CASES)
def test_the_pull_is_that_of_the_method_to_1e_6(build, task, family, what, changes):
    config = HELD.model_copy(update=changes)
    model, literal, free = (float64(build(family)) for _ in range(3))
    finetune(model, task, what, cued(12), {}, config, source=SOURCE)
    naive_tuning(literal, task, masks_of(literal, what), config, SOURCE, [cued(12)] * 4)
    assert farthest(model, literal) < 1e-6
    # the controls: without the pull, and with one of other strength, it is another model
    free_config = config.model_copy(update={"hold": 0.0})
    naive_tuning(free, task, masks_of(free, what), free_config, SOURCE, [cued(12)] * 4)
    assert farthest(model, free) > 1e-3
    other = float64(build(family))
    other_config = config.model_copy(update={"hold": 8.0})
    naive_tuning(other, task, masks_of(other, what), other_config, SOURCE, [cued(12)] * 4)
    assert farthest(model, other) > 1e-5


def test_the_information_is_of_single_rows_and_not_of_a_batch(build, task):
    """The square of the mean gradient, which one pass over a batch gives, is far from it."""
    model = float64(build("llama"))
    masks = masks_of(model, "full")
    expected = naive_fisher(model, task, masks, SOURCE)
    tokens = task.label_ids(model)
    rows = [(task.encode(model, row), tokens[row.label]) for row in SOURCE]
    model.hf.train()
    squared = source_fisher.squared_gradients(model, model.hf, rows)
    assert model.hf.training and squared.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(squared[name].double(), value, rtol=1e-5, atol=1e-12)
    model.hf.zero_grad()
    loss_of(model, task, SOURCE).backward()
    batched = sum(value.grad.square().sum() for value in model.hf.parameters())
    assert batched < 0.7 * sum(value.sum() for value in expected.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"accumulate": 2, "batch_size": 3}])
def test_every_pull_of_a_run_is_the_formula(build, task, monkeypatch, changes, dtype):
    """Under bfloat16 autocast and accumulation, and of the float32 copies of a bfloat16 model: what
    the optimiser left, pulled by hand.
    """
    model, config, steps = build("llama"), HELD.model_copy(update=changes), []
    model.hf.to(dtype)
    model.mark_changed()
    pull = SourceHold.pull

    def watched(self, share):
        before = [value.detach().double().clone() for value, _, _ in self.held]
        pull(self, share)
        rate, c = share * config.learning_rate, config.hold / config.learning_rate
        for (value, start, relative), stepped in zip(self.held, before, strict=True):
            wanted = start + (stepped - start) / (1 + rate * c * relative.double())
            assert value.dtype == torch.float32 and (value - wanted).abs().max() < 1e-6
        steps.append(share)

    monkeypatch.setattr(SourceHold, "pull", watched)
    history = finetune(model, task, CIRCUIT, cued(12), {}, config, source=SOURCE).history
    total = history[-1]["steps"]
    assert steps == pytest.approx([1 - step / total for step in range(total)])


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_holding_leaves_everything_outside_as_it_was(build, task, family):
    """Under weight decay, clipping, accumulation and autocast together."""
    rough = {"weight_decay": 0.1, "max_grad_norm": 0.05, "accumulate": 2, "precision": "bf16"}
    model = build(family)
    before, masks = bits(model.hf), may_move(model.hf, HEADS)
    config = HELD.model_copy(update=rough | {"batch_size": 4})
    finetune(model, task, CIRCUIT, cued(12), {}, config, source=SOURCE)
    after = bits(model.hf)
    assert trespassers(before, after, masks) == []
    assert sum(int((before[name] != after[name]).sum()) for name in before) > 1000


@pytest.mark.parametrize("what", [CIRCUIT, "full", "lora"])
def test_a_held_run_stays_nearer_to_the_checkpoint(build, task, what):
    distances = []
    for hold in (0.0, 9.0, 900.0):
        model = build("qwen2")
        config = HELD.model_copy(update={"hold": hold})
        finetune(model, task, what, cued(12), {}, config, source=SOURCE)
        start = dict(build("qwen2").hf.named_parameters())
        distances.append(
            sum((v - start[n]).square().sum().item() for n, v in model.hf.named_parameters())
        )
    assert distances[0] > distances[1] > distances[2] > 0


@pytest.mark.parametrize("what", [CIRCUIT, "full"])
def test_a_held_run_is_stopped_and_resumed_to_the_same_bits(build, task, tmp_path, what):
    """The checkpoint before tuning, and not that of the stop, is what it is held to."""
    whole, first, second, free = (build("gpt2") for _ in range(4))
    config = HELD.model_copy(update={"batch_size": 4, "eval_every": 2})
    progress = []
    finetune(
        whole,
        task,
        what,
        cued(12),
        {},
        config,
        Watch(preparing=lambda done, rows: progress.append((done, rows))),
        source=SOURCE,
    )
    assert progress == [(done, 10) for done in range(1, 11)]
    halted = Watch(stop=stopping(after=4), folder=tmp_path)
    stopped = finetune(first, task, what, cued(12), {}, config, halted, SOURCE)
    assert stopped.stopped
    resumed = Watch(folder=tmp_path, resume=True)
    finetune(second, task, what, cued(12), {}, config, resumed, SOURCE)
    assert same(second, whole) and not same(second, first)
    # without a store it is measured again, to the same bits
    finetune(free, task, what, cued(12), {}, config.model_copy(update={"hold": 0}), None, SOURCE)
    assert not same(free, whole)


def test_the_information_is_measured_once_and_again_for_other_rows_or_parameters(
    build, task, monkeypatch
):
    monkeypatch.setenv("CTSFT_CACHE_BYTES", str(10**8))
    measured = []
    measure = source_fisher.squared_gradients

    def counted(*arguments):
        measured.append(1)
        return measure(*arguments)

    counted.__module__ = measure.__module__
    monkeypatch.setattr(source_fisher, "squared_gradients", counted)
    models = []
    questions = [("full", SOURCE), ("full", SOURCE), (CIRCUIT, SOURCE), ("full", SOURCE[:8])]
    for what, source in questions:
        models.append(build("llama"))
        finetune(models[-1], task, what, cued(12), {}, HELD, source=source)
    assert len(measured) == 3 and same(models[0], models[1]) and not same(models[0], models[3])
    assert [answer.kind for answer in store.stored_answers()] == ["fisher"] * 3


def test_what_cannot_be_held_is_refused(build, loaded, task, monkeypatch):
    said(
        lambda: finetune(loaded["llama"], task, CIRCUIT, cued(3), {}, HELD),
        "rows of the source language",
        "source=",
    )
    zero = {"weight": torch.zeros(3)}
    monkeypatch.setattr(source_fisher, "squared_gradients", lambda *arguments: zero)
    said(
        lambda: finetune(build("llama"), task, "norms", cued(3), {}, HELD, source=SOURCE),
        "sums up to 0",
        "without hold",
    )
