"""A share of a delta: w0 + share * (w1 - w0) for all of it and head by head, against the arithmetic
written out; the file of a share; and what is outside of a delta, compared bit by bit.
"""

import pytest
import torch

from ctsft import Circuit, Delta, apply_delta, finetune, scale_delta
from ctsft.tuning.delta_comparison import head_changes
from ctsft.tuning.unchanged import compare_outside
from support.errors import said
from support.tasks import cued
from support.training import HEADS, QUICK, may_move, same

CIRCUIT = Circuit(HEADS)
CASES = [
    ("gpt2", CIRCUIT, {}),
    ("qwen2", CIRCUIT, {"kv": "expand"}),
    ("llama", "norms", {}),
    ("gpt2", "full", {}),
    ("gpt2", "lora", {"lora_targets": ("q", "o", "up")}),
]


@pytest.fixture
def tune(build, task, tmp_path):
    """tune(family, what, **settings) -> the run's result and the path of its delta."""

    def run(family, what, **changes):
        result = finetune(build(family), task, what, cued(12), {}, QUICK.model_copy(update=changes))
        result.delta.save(tmp_path / "delta.safetensors")
        return result, tmp_path / "delta.safetensors"

    return run


def values(model):
    return {name: value.detach().clone() for name, value in model.hf.named_parameters()}


@pytest.mark.parametrize(("family", "what", "changes"), CASES)
def test_a_share_lies_between_the_two_models(build, tune, tmp_path, family, what, changes):
    result, path = tune(family, what, **changes)
    start = apply_delta(build(family), path, share=0.0)
    old, new = values(start), values(result.model)
    assert not same(start, result.model)
    if "kv" not in changes:
        assert same(start, build(family))
    for share in (0.3, 0.5):
        between = values(apply_delta(build(family), path, share))
        for name, value in between.items():
            expected = old[name].double() + share * (new[name].double() - old[name].double())
            assert torch.allclose(value.double(), expected, atol=1e-7), name
    assert same(apply_delta(build(family), path, 1.0), result.model)
    # the file of a share is that share, and the share of a share their product
    scale_delta(path, 0.6, tmp_path / "most")
    scale_delta(tmp_path / "most", 0.5, to=tmp_path / "some")
    some = values(apply_delta(build(family), tmp_path / "some"))
    third = values(apply_delta(build(family), path, 0.3))
    assert all(torch.allclose(some[name], third[name], atol=1e-7) for name in some)


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
@pytest.mark.parametrize("what", [CIRCUIT, "full"])
def test_a_head_is_given_back_its_old_weights_and_nothing_else_is(build, tune, family, what):
    """Heads 0 and 1 share keys and values in qwen2. Of the circuit only head 0 was trained, so they
    go back with it; of everything, only with the last of both.
    """
    result, path = tune(family, what)
    old, new = values(build(family)), values(result.model)
    for heads in ({(2, 0)}, {(2, 0), (2, 1)}):
        given = values(apply_delta(build(family), path, dict.fromkeys(heads, 0.0)))
        masks = may_move(build(family).hf, heads)
        for name, mask in masks.items():
            shared = "k_proj" in name or "v_proj" in name
            if "norm" in name or ".ln_" in name or shared and what == "full" and len(heads) == 1:
                mask[:] = False
            expected = torch.where(mask, old[name], new[name])
            assert torch.equal(given[name].view(torch.int32), expected.view(torch.int32)), name
    assert not same(build(family), result.model)


def test_the_larger_share_of_a_group_is_that_of_its_keys(build, tune, tmp_path):
    result, path = tune("qwen2", "full")
    old, new = values(build("qwen2")), values(result.model)
    scale_delta(path, {(1, 2): 0.2, (1, 3): 0.6}, tmp_path / "heads")
    scale_delta(tmp_path / "heads", {(1, 2): 0.5}, tmp_path / "again")
    given = values(apply_delta(build("qwen2"), tmp_path / "again"))
    at = "model.layers.1.self_attn."
    places = [
        (f"{at}q_proj.weight", slice(16, 24), 0.1),
        (f"{at}q_proj.bias", slice(24, 32), 0.6),
        (f"{at}v_proj.weight", slice(8, 16), 0.6),
        (f"{at}v_proj.weight", slice(0, 8), 1.0),
    ]
    for name, rows, share in places:
        change = given[name][rows] - old[name][rows]
        whole = new[name][rows] - old[name][rows]
        assert torch.allclose(change, share * whole, atol=1e-7) and whole.abs().max() > 1e-3
    columns = f"{at}o_proj.weight"
    change = (given[columns] - old[columns])[:, 16:24]
    assert torch.allclose(change, 0.1 * (new[columns] - old[columns])[:, 16:24], atol=1e-7)


def test_what_a_share_changed_is_measured_as_such(build, tune, tmp_path):
    """The norms of the changes on the change map are those of the share."""
    _, path = tune("qwen2", CIRCUIT)
    scale_delta(path, 0.5, tmp_path / "half")
    rows = zip(
        head_changes(build("qwen2"), path),
        head_changes(build("qwen2"), tmp_path / "half"),
        strict=True,
    )
    for whole, half in rows:
        assert half["change"] == pytest.approx(0.5 * whole["change"])
    about = Delta.load(tmp_path / "half").about
    assert about["share"] == 0.5 and about.keys() - Delta.load(path).about.keys() == {"share"}


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan"), "half", True, {(0, 1): 2}])
def test_a_share_that_is_none_is_refused(build, tune, tmp_path, share):
    _, path = tune("llama", "norms")
    model = build("llama")
    said(lambda: apply_delta(model, path, share), "from 0", "to 1")
    said(lambda: scale_delta(path, share, tmp_path / "to"), "number from 0")
    said(lambda: apply_delta(model, path, {(9, 0): 0.5}), "no head L9.H0")
    assert same(model, build("llama")) and not (tmp_path / "to").exists()


@pytest.mark.parametrize("what", [CIRCUIT, "norms", "lora", "full"])
@pytest.mark.parametrize("kv", ["group", "expand"])
def test_numbers_outside_are_counted_and_compared_bit_by_bit(build, tune, what, kv):
    result, path = tune("qwen2", what, kv=kv)
    start = apply_delta(build("qwen2"), path, share=0.0)
    if what != "lora":
        outside = compare_outside(result.delta, dict(start.hf.named_parameters()), result.model)
        assert outside.parameters == start.n_params - result.trainable == outside.identical
    outside = compare_outside(result.delta, dict(start.hf.named_parameters()), result.model)
    if what == "full":
        assert outside.parameters == 0 and "none" in outside.text()
        return
    assert f"{outside.parameters:,} parameters" in outside.text()
    assert "are bit-identical" in outside.text()
    # the controls: one number by the smallest step, and one zero by its sign
    up = dict(result.model.hf.named_parameters())["model.layers.0.mlp.up_proj.weight"]
    with torch.no_grad():
        up[0, 0] = torch.nextafter(up[0, 0], torch.tensor(9.0))
        up[1, 1] = -0.0
        dict(start.hf.named_parameters())["model.layers.0.mlp.up_proj.weight"][1, 1] = 0.0
    outside = compare_outside(result.delta, dict(start.hf.named_parameters()), result.model)
    assert outside.identical == outside.parameters - 2
    assert outside.text().startswith("2 of ")
