"""Which numbers move: named here by hand for every family, and checked to be the only ones, bit by
bit.
"""

import fnmatch

import pytest
import torch

from ctsft.circuit.circuit import Circuit
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.finetune import finetune
from ctsft.tuning.masked_training import masked_training
from ctsft.tuning.recipes import trainable_of
from ctsft.tuning.trainable import (
    Trainable,
    norm_parameters,
    trainable_count,
)
from support.errors import said
from support.models import FAMILIES
from support.tasks import cued
from support.training import HEADS, bits, may_move, trespassers

# all that could reach a protected number
ROUGH = TuneConfig(epochs=2, learning_rate=1e-2, batch_size=4, weight_decay=0.1, max_grad_norm=0.1)


CASES = {
    **{family: (family, {}) for family in FAMILIES},
    "llama-biased": ("llama", {"attention_bias": True, "mlp_bias": True}),
}


each_case = pytest.mark.parametrize("case", CASES)


@each_case
def test_exactly_the_circuit_and_the_norms_move(build, task, case):
    family, overrides = CASES[case]
    model = build(family, **overrides)
    masks, before = may_move(model.hf, HEADS), bits(model.hf)
    result = finetune(model, task, Circuit(HEADS), cued(12), {}, ROUGH)
    after = bits(model.hf)
    assert set(after) == set(before) and trespassers(before, after, masks) == []
    for name, mask in masks.items():
        changed = (before[name] != after[name])[mask].float()
        # a key bias has no gradient to speak of
        assert not mask.any() or changed.mean() > (0.2 if name.endswith("bias") else 0.95), name
    assert (
        result.trainable
        == sum(mask.sum().item() for mask in masks.values())
        == trainable_count(model, HEADS)
    )
    assert result.total == model.n_params == sum(mask.numel() for mask in masks.values())


def test_norms_alone_move_and_full_tuning_moves_everything_else_too(build, task):
    """The second half is the control: the check above sees a protected number that moved."""
    for what, expected in (("norms", 0), ("full", 20)):
        model = build("qwen2")
        masks, before = may_move(model.hf, ()), bits(model.hf)
        result = finetune(model, task, what, cued(12), {}, ROUGH)
        assert len(trespassers(before, bits(model.hf), masks)) >= expected and (
            what == "full"
        ) == bool(trespassers(before, bits(model.hf), masks))
        assert result.trainable == (model.n_params if what == "full" else 7 * 32)


@each_case
def test_moving_slices_compute_what_the_model_computes(build, case):
    """Before anything moved, with moved values inside, and after they were written back; gradients
    are the full model's own.
    """
    family, overrides = CASES[case]
    model, batch = build(family, **overrides), pad([[5, 9, 31, 60, 2], [3, 7, 1]], "cpu")
    hf = model.hf.requires_grad_(True)
    plain = readout_logits(hf, batch)
    plain.log_softmax(-1)[:, 7].sum().backward()
    full = {name: value.grad.clone() for name, value in hf.named_parameters()}
    hf.zero_grad(set_to_none=True)
    names = {id(value): name for name, value in hf.named_parameters()}
    with masked_training(model, HEADS):
        inside = readout_logits(hf, batch)
        assert torch.allclose(inside, plain, atol=1e-5)
        inside.log_softmax(-1)[:, 7].sum().backward()
        for part, weight in zip(
            hf.trained_slices.slices, hf.trained_slices.weights.values(), strict=True
        ):
            whole = full[names[id(part.linear.module.weight)]]
            whole = whole.T if family == "gpt2" else whole
            assert torch.allclose(
                weight.grad, whole[:, part.index] if part.columns else whole[part.index], atol=1e-4
            )
            assert weight.grad.abs().max() > 1e-4
        for norm in norm_parameters(model):
            assert torch.allclose(norm.grad, full[names[id(norm)]], atol=1e-4)
        assert sum(
            value.numel() for value in hf.parameters() if value.requires_grad
        ) == trainable_count(model, HEADS)
        with torch.no_grad():
            for weight in hf.trained_slices.parameters():
                weight += 0.3 * torch.randn_like(weight)
            moved = readout_logits(hf, batch)
    with torch.no_grad():
        after = readout_logits(hf, batch)
    assert torch.allclose(moved, after, atol=1e-4) and (after - plain).abs().max() > 0.05
    assert not any(value.requires_grad for value in hf.parameters()) and not hasattr(
        hf, "trained_slices"
    )
    assert not any(module._forward_hooks for module in hf.modules())


def test_the_model_is_whole_again_after_an_error(build):
    model, before = build("llama"), bits(build("llama").hf)
    with pytest.raises(RuntimeError, match="in the middle"), masked_training(model, HEADS):
        raise RuntimeError("in the middle")
    assert trespassers(before, bits(model.hf), may_move(model.hf, ())) == [] and not any(
        module._forward_hooks for module in model.hf.modules()
    )


def test_the_fingerprint_follows_the_tuning(build):
    model = build("llama")
    old = model.fingerprint
    with masked_training(model, HEADS), torch.no_grad():
        model.hf.trained_slices.weights["0"].mul_(2)
    assert model.fingerprint != old
    for what in ("norms", "full"):
        # where the optimiser writes into the model itself
        old = model.fingerprint
        with masked_training(model, what) as hf:
            readout_logits(hf, pad([[5, 9]], "cpu")).sum().backward()
            torch.optim.AdamW(
                [value for value in hf.parameters() if value.grad is not None], fused=True
            ).step()
        assert model.fingerprint != old


def test_an_unknown_word_is_refused(build, task):
    said(
        lambda: finetune(build("gpt2"), task, "everything", cued(3), {}),
        "'everything'",
        "circuit, near_zero",
    )


def test_norms_may_stay(build, task):
    model = build("gpt2")
    masks, before = may_move(model.hf, HEADS), bits(model.hf)
    for name, mask in masks.items():
        mask &= ".ln_" not in name
    result = finetune(
        model, task, Circuit(HEADS), cued(12), {}, ROUGH.model_copy(update={"norms": False})
    )
    assert trespassers(before, bits(model.hf), masks) == []
    assert (
        result.trainable
        == trainable_count(model, HEADS, norms=False)
        == sum(mask.sum().item() for mask in masks.values())
    )
    # the control
    finetune(model, task, Circuit(HEADS), cued(12), {}, ROUGH)
    assert trespassers(before, bits(model.hf), masks) != []


@pytest.mark.parametrize(
    ("family", "pattern"),
    [
        ("qwen2", "*.mlp.down_proj.weight"),
        ("qwen2", "*.q_proj.weight"),
        ("qwen2", "*.bias"),
        ("gpt2", "transformer.h.[02].attn.c_attn.*"),
        ("gpt2", "lm_head*"),
        ("llama", "*.o_proj.weight"),
        ("llama", "*layernorm*"),
    ],
)
def test_extra_parameters_move_whole_beside_the_circuit(build, task, family, pattern):
    """Also where a slice of the same module moves, with its weight or its bias alone in the
    pattern.
    """
    model = build(family)
    matching = [name for name, _ in model.hf.named_parameters() if fnmatch.fnmatch(name, pattern)]
    # tied: the one matrix has two names
    names = {"lm_head*": ["transformer.wte.weight"]}.get(pattern, matching)
    masks, before = may_move(model.hf, HEADS), bits(model.hf)
    inside = {name: mask.clone() for name, mask in masks.items()}
    for name in names:
        masks[name][:] = True
    result = finetune(
        model,
        task,
        Circuit(HEADS),
        cued(24),
        {},
        ROUGH.model_copy(update={"extra": (pattern,), "learning_rate": 3e-2}),
    )
    after = bits(model.hf)
    assert trespassers(before, after, masks) == [] and (pattern == "*layernorm*") == (
        trespassers(before, after, inside) == []
    )
    assert result.trainable == sum(mask.sum().item() for mask in masks.values())


def test_moving_slices_beside_whole_parameters_compute_what_the_model_computes(build):
    """Gradients are the full model's own when a part's weight, or its bias, moves whole."""
    batch = pad([[5, 9, 31, 60, 2], [3, 7, 1]], "cpu")
    for pattern in ("*.q_proj.weight", "*.q_proj.bias"):
        model = build("qwen2")
        hf = model.hf.requires_grad_(True)
        readout_logits(hf, batch).log_softmax(-1)[:, 7].sum().backward()
        full = {name: value.grad.clone() for name, value in hf.named_parameters()}
        hf.zero_grad(set_to_none=True)
        with masked_training(model, Trainable(HEADS, extra=(pattern,))):
            readout_logits(hf, batch).log_softmax(-1)[:, 7].sum().backward()
            grads = {
                name: value.grad for name, value in hf.named_parameters() if value.grad is not None
            }
        whole = {name: grad for name, grad in grads.items() if fnmatch.fnmatch(name, pattern)}
        assert len(whole) == 3 and all(
            torch.allclose(grad, full[name], atol=1e-4) for name, grad in whole.items()
        )
        sliced = {name: grad for name, grad in grads.items() if name.startswith("trained_slices.")}
        assert len(sliced) == (14 - 2) if "weight" in pattern else 12


def test_what_cannot_be_named_is_refused(build, task):
    model = build("qwen2")
    said(
        lambda: finetune(
            model, task, Circuit(HEADS), cued(3), {}, TuneConfig(extra=("*.c_attn.*",))
        ),
        "'*.c_attn.*'",
        "self_attn",
    )
    said(
        lambda: finetune(model, task, Circuit(frozenset()), cued(3), {}, TuneConfig(norms=False)),
        "Nothing would be trained",
    )
    said(lambda: trainable_of(model, "near_zero"), "'near_zero'", "needs heads")
