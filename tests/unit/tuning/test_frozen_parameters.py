"""What must not move keeps its bits under everything that training does. Each test has its control:
ordinary tuning of the whole model whose gradients are masked, which is how one would write it
first, and which fails.
"""

from contextlib import contextmanager

import pytest
import torch
from torch.nn import functional as F

from ctsft import Circuit, TuneConfig, Watch, finetune
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.tuning.masked_training import masked_training
from ctsft.tuning.trainer import CircuitTrainer
from support.tasks import cued
from support.training import HEADS, bits, may_move, trespassers

CIRCUIT, BASE = Circuit(HEADS), TuneConfig(epochs=3, learning_rate=1e-2, batch_size=4)


ROUGH = {
    "weight_decay": {"weight_decay": 0.1},
    "clipping": {"max_grad_norm": 0.05},
    "accumulation": {"accumulate": 3},
    "bf16": {"precision": "bf16"},
    "everything": {
        "weight_decay": 0.1,
        "max_grad_norm": 0.05,
        "accumulate": 2,
        "precision": "bf16",
        "norms": True,
    },
}


def batches(model, task, n=12, size=4):
    tokens, rows = task.label_ids(model), cued(n)
    for at in range(0, n, size):
        these = rows[at : at + size]
        yield (
            pad([task.encode(model, row) for row in these], "cpu"),
            torch.tensor([tokens[row.label] for row in these]),
        )


def naive(model, task, weight_decay=0.0, momentum=False, clip=None):
    """All parameters in the optimiser, foreign gradients set to 0 before each step. Returns the
    gradient norm that clipping saw first.
    """
    masks, hf = may_move(model.hf, HEADS), model.hf.requires_grad_(True)
    optimizer, seen = torch.optim.AdamW(hf.parameters(), 1e-2, weight_decay=weight_decay), []
    for epoch in range(3):
        for batch, labels in batches(model, task):
            F.cross_entropy(readout_logits(hf, batch), labels).backward()
            if clip:
                seen.append(torch.nn.utils.clip_grad_norm_(hf.parameters(), clip).item())
            if not (momentum and epoch == 0):
                # the mask comes late: the optimiser was used before
                for name, value in hf.named_parameters():
                    value.grad *= masks[name]
            optimizer.step()
            optimizer.zero_grad()
            if momentum and epoch == 0:
                before = bits(hf)
    return before if momentum else seen


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
@pytest.mark.parametrize("what", ROUGH)
def test_everything_outside_keeps_its_bits(build, task, family, what):
    model = build(family)
    before, masks = bits(model.hf), may_move(model.hf, HEADS)
    finetune(model, task, CIRCUIT, cued(12), {}, BASE.model_copy(update=ROUGH[what]))
    after = bits(model.hf)
    assert trespassers(before, after, masks) == []
    assert all(
        (before[name] != after[name])[mask].float().mean() > 0.9
        for name, mask in masks.items()
        if mask.any() and not name.endswith("bias")
    )


def test_weight_decay_reaches_what_a_gradient_mask_protects(build, task):
    model = build("qwen2")
    before = bits(model.hf)
    naive(model, task, weight_decay=0.1)
    assert len(trespassers(before, bits(model.hf), may_move(model.hf, HEADS))) > 20


def test_momentum_does_so_too(build, task):
    """The optimiser holds nothing of what does not move, so there is no momentum that could; the
    masked one drifts on.
    """
    model = build("qwen2")
    before = naive(model, task, momentum=True)
    assert len(trespassers(before, bits(model.hf), may_move(model.hf, HEADS))) > 20
    exact, sizes = build("qwen2"), []
    with masked_training(exact, HEADS) as hf:
        optimizer = torch.optim.AdamW(value for value in hf.parameters() if value.requires_grad)
        readout_logits(hf, next(batches(exact, task))[0]).sum().backward()
        optimizer.step()
        sizes = [state["exp_avg"].numel() for state in optimizer.state.values()]
        assert (
            sum(sizes)
            == sum(value.numel() for value in hf.parameters() if value.requires_grad)
            < 0.2 * exact.n_params
        )


@contextmanager
def norms_seen(monkeypatch, seen):
    """The gradient norms that the Trainer clips by."""
    clip = CircuitTrainer._clip_grad_norm
    with monkeypatch.context() as patch:
        patch.setattr(
            CircuitTrainer,
            "_clip_grad_norm",
            lambda self, model: seen.append(float(clip(self, model))) or torch.tensor(seen[-1]),
        )
        yield


@pytest.mark.parametrize("what", ["group", "expand"])
def test_the_norm_that_is_clipped_counts_only_what_moves(build, task, monkeypatch, what):
    """Against the whole model's gradient, masked by hand: of the first step, over one batch of all
    rows.
    """
    model, rows, seen, masks = build("llama"), cued(12), [], may_move(build("llama").hf, HEADS)
    ((batch, labels),) = batches(model, task, size=12)
    hf = build("llama").hf.requires_grad_(True)
    F.cross_entropy(readout_logits(hf, batch), labels).backward()
    squares = {
        name: value.grad[masks[name]].square().sum().item() for name, value in hf.named_parameters()
    }
    mine = sum(squares.values()) ** 0.5
    everything = sum(value.grad.square().sum().item() for value in hf.parameters()) ** 0.5
    with norms_seen(monkeypatch, seen):
        finetune(model, task, CIRCUIT, rows, {}, TuneConfig(epochs=1, batch_size=12, kv=what))
    if what == "group":
        # the control: foreign gradients are large
        assert seen[0] == pytest.approx(mine, rel=1e-4) and everything > 1.2 * mine
    else:
        # the neighbours' share of the key/value rows' gradient is not in it
        assert seen[0] < mine
    assert naive(build("llama"), task, clip=0.05)[0] > 1.2 * seen[0]


def test_a_protected_parameter_never_gets_a_gradient(build, task):
    model, (batch, labels) = build("qwen2"), next(batches(build("qwen2"), task))
    with masked_training(model, HEADS) as hf:
        for _ in range(2):  # accumulated
            F.cross_entropy(readout_logits(hf, batch), labels).backward()
        with_gradient = {name for name, value in hf.named_parameters() if value.grad is not None}
        assert with_gradient == {
            name
            for name, _ in hf.named_parameters()
            if name.startswith("trained_slices.") or "norm" in name
        }


def test_accumulated_batches_are_one_large_batch(build, task):
    """12 rows as 4 + 4 + 4 and 10 as 4 + 4 + 2 give the step of one batch; the mean of the batches'
    means would not for 10.
    """
    for n in (12, 10):
        models = [build("qwen2") for _ in range(2)]
        for model, size, steps in zip(models, (12, 4), (1, 3), strict=True):
            result = finetune(
                model,
                task,
                CIRCUIT,
                cued(n),
                {},
                BASE.model_copy(update={"batch_size": size, "accumulate": steps, "epochs": 2}),
            )
            assert result.history[-1]["steps"] == 2
        a, b = (dict(model.hf.named_parameters()) for model in models)
        gaps = [(a[name] - b[name]).abs().max().item() for name in a]
        assert max(gaps) < 2e-3 and any(
            (a[name] - build("qwen2").hf.get_parameter(name)).abs().max() > 1e-2 for name in a
        )
        one, other = (model.blocks[0].attn_norm.module.weight for model in models)
        assert (one - other).abs().max() < 1e-4


def test_bf16_computes_in_bfloat16_and_leaves_weights_and_evaluations_alone(
    build, task, monkeypatch
):
    kinds, models, histories = [], [build("llama"), build("llama")], []
    for model, precision in zip(models, ("full", "bf16"), strict=True):
        seen = []
        hook = model.blocks[0].up.module.register_forward_hook(
            lambda module, args, output, seen=seen: seen.append((module.training, output.dtype))
        )
        result = finetune(
            model,
            task,
            CIRCUIT,
            cued(12),
            {"a": cued(6, 1)},
            BASE.model_copy(update={"precision": precision}),
        )
        hook.remove()
        kinds.append({dtype for training, dtype in seen if training})
        assert (
            {dtype for training, dtype in seen if not training}
            == {torch.float32}
            == {value.dtype for value in model.hf.parameters()}
        )
        histories.append(result.history[-1]["loss"])
    assert kinds == [{torch.float32}, {torch.bfloat16}] and histories[0] == pytest.approx(
        histories[1], rel=0.1
    )
    # the control: a model that is itself cast loses protected bits
    rounded = build("llama")
    before = bits(rounded.hf)
    assert (
        len(trespassers(before, bits(rounded.hf.bfloat16().float()), may_move(rounded.hf, HEADS)))
        > 20
    )


@pytest.mark.parametrize(
    "changes", [{}, {"kv": "expand"}, {"accumulate": 2, "weight_decay": 0.1}, {"precision": "bf16"}]
)
def test_a_resumed_run_protects_the_same_bits(build, task, tmp_path, changes):
    config, steps, masks = (
        BASE.model_copy(update={"batch_size": 2, **changes}),
        [],
        may_move(build("qwen2").hf, HEADS),
    )
    whole, first, second, before = (
        build("qwen2"),
        build("qwen2"),
        build("qwen2"),
        bits(build("qwen2").hf),
    )
    results = [finetune(whole, task, CIRCUIT, cued(12), {}, config)]
    finetune(
        first,
        task,
        CIRCUIT,
        cued(12),
        {},
        config,
        Watch(stop=lambda: steps.append(1) or len(steps) >= 4, folder=tmp_path),
    )
    results.append(
        finetune(second, task, CIRCUIT, cued(12), {}, config, Watch(folder=tmp_path, resume=True))
    )
    a, b = (bits(result.model.hf) for result in results)
    assert all(torch.equal(a[name], b[name]) for name in a) and len(steps) == 4
    if "kv" not in changes:
        assert trespassers(before, b, masks) == [] and any(
            (before[name] != b[name]).any() for name in b
        )
