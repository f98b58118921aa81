"""Tuning a model that is stored in a narrow number format: steps below its spacing add up, the rest
of the model keeps its bits, and what changed is counted.
"""

import copy

import pytest
import torch

from ctsft.model.evaluation import accuracy
from ctsft.model.loading import wrap
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.delta import apply_delta
from ctsft.tuning.finetune import Watch, finetune
from ctsft.tuning.float32_copies import float32_copies
from ctsft.tuning.masked_training import masked_training
from ctsft.tuning.trainable import Trainable
from support.tasks import cued
from support.tiny import tiny
from support.training import CIRCUIT, HEADS, stopping

SMALL_STEPS = TuneConfig(epochs=6, learning_rate=1e-3, batch_size=4, eval_every=2)


@pytest.fixture
def narrow(build, tokenizer):
    """narrow(family, dtype) -> a tiny model stored in that format."""
    return lambda family, dtype: wrap(build(family).hf.to(dtype), tokenizer, f"{family} {dtype}")


def values(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.hf.named_parameters()}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("family", "what"),
    [("qwen2", CIRCUIT), ("gpt2", CIRCUIT), ("gpt2", "full"), ("llama", "norms")],
)
def test_steps_below_the_spacing_of_the_format_add_up(narrow, task, family, what, dtype):
    model = narrow(family, dtype)
    before = values(model)
    result = finetune(model, task, what, cued(12), {"a": cued(6, 1)}, SMALL_STEPS)
    after = values(model)
    assert list(before) == list(after) and {value.dtype for value in after.values()} == {dtype}
    changed = sum(int((before[name] != after[name]).sum()) for name in before)
    # a gain near 1 lies 0.0078 from the next number in bfloat16, and 18 steps are 0.001 each
    assert 0.3 * result.trainable < result.changed == changed
    # what was measured is what remains
    assert result.history[-1]["accuracy"]["a"] == accuracy(model, task, cued(6, 1))
    assert not any(module._forward_pre_hooks for module in model.hf.modules())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_weight_decay_reaches_matrices_and_neither_norms_nor_biases(narrow, task, family, dtype):
    """The steps of a rate so small that only the decay is seen."""
    decay = TuneConfig(epochs=1, learning_rate=1e-6, weight_decay=9e4, max_grad_norm=1e-9)
    model = narrow(family, dtype)
    before = values(model)
    finetune(model, task, "full", cued(12), {}, decay)
    shrunk = {
        name: (value.norm() / before[name].norm()).item()
        for name, value in values(model).items()
        if before[name].norm() > 0
    }
    assert all(
        (share < 0.95) if before[name].ndim > 1 else (share > 0.99)
        for name, share in shrunk.items()
    ), shrunk


def test_too_small_a_change_is_counted_and_named(narrow, task):
    """Control: the same steps in float32 change every gain."""
    tiny_steps = TuneConfig(epochs=1, learning_rate=1e-6, batch_size=4)
    result = finetune(narrow("llama", torch.bfloat16), task, "norms", cued(12), {}, tiny_steps)
    assert result.changed < 0.2 * result.trainable
    assert f"{result.trainable - result.changed:,} of {result.trainable:,}" in result.notes[0]
    assert "--dtype float32" in result.notes[0] and "bfloat16" in result.notes[0]
    exact = finetune(narrow("llama", torch.float32), task, "norms", cued(12), {}, tiny_steps)
    assert exact.changed > 0.9 * exact.trainable and exact.notes == []


def test_a_narrow_model_resumes_and_its_delta_gives_it_to_the_bit(narrow, task, tmp_path):
    whole, first, second, base = (narrow("qwen2", torch.bfloat16) for _ in range(4))
    result = finetune(whole, task, CIRCUIT, cued(12), {}, SMALL_STEPS)
    for model, watch in (
        (first, Watch(stop=stopping(after=4), folder=tmp_path)),
        (second, Watch(folder=tmp_path, resume=True)),
    ):
        finetune(model, task, CIRCUIT, cued(12), {}, SMALL_STEPS, watch)
    result.delta.save(tmp_path / "delta.safetensors")
    apply_delta(base, tmp_path / "delta.safetensors")
    for other in (second, base):
        assert all(torch.equal(value, values(other)[name]) for name, value in values(whole).items())
    assert not torch.equal(values(first)["model.norm.weight"], values(whole)["model.norm.weight"])


def test_lora_in_a_narrow_model_is_trained_and_merged(narrow, task):
    model = narrow("llama", torch.bfloat16)
    before = values(model)
    settings = SMALL_STEPS.model_copy(update={"extra": ("*.mlp.down_proj.*",)})
    result = finetune(model, task, "lora", cued(12), {}, settings)
    moved = {name for name, value in values(model).items() if not torch.equal(value, before[name])}
    assert any("q_proj" in name for name in moved) and any("down_proj" in name for name in moved)
    assert not any("k_proj" in name for name in moved) and result.changed > 0.3 * result.trainable


def test_a_float32_model_is_trained_without_copies():
    hf = tiny("qwen2")
    with masked_training(wrap(hf, None), Trainable(HEADS)):
        assert not hasattr(hf, "float32_copies")


def test_tied_weights_share_one_copy():
    hf = tiny("gpt2", tie_word_embeddings=True).to(torch.bfloat16)
    names, state = [name for name, _ in hf.named_parameters()], list(hf.state_dict())
    assert hf.lm_head.weight is hf.transformer.wte.weight
    expected = copy.deepcopy(hf)(torch.tensor([[1, 2, 3]])).logits
    with float32_copies(hf, list(hf.parameters())):
        assert len(hf.float32_copies) == len(names)
        logits = hf(torch.tensor([[1, 2, 3]])).logits
        assert torch.equal(logits, expected)
        logits.float().sum().backward()
        assert all(value.grad is not None for value in hf.float32_copies.values())
        with torch.no_grad():
            hf.float32_copies["0"].add_(1.0)
    assert hf.lm_head.weight is hf.transformer.wte.weight
    assert [name for name, _ in hf.named_parameters()] == names and list(hf.state_dict()) == state
