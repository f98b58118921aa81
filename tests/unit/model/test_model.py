"""What a family's list says, against Hugging Face's own modules."""

import pytest
import torch

from ctsft.model import families
from ctsft.model.architecture import Linear
from ctsft.model.fingerprint import weights_hash
from ctsft.model.model import Model
from support.models import FAMILIES
from support.tiny import tiny

each_family = pytest.mark.parametrize("family", FAMILIES)


@each_family
def test_shape_and_heads(loaded, family):
    model = loaded[family]
    assert (model.n_layers, model.n_heads, model.n_kv_heads, model.d_head, model.d_model) == (
        3,
        4,
        4 if family == "gpt2" else 2,
        8,
        32,
    )
    assert (
        model.heads == [(layer, head) for layer in range(3) for head in range(4)]
        and model.model_type == family
    )
    assert model.n_params == sum(p.numel() for p in model.hf.parameters())
    assert [list(model.kv_group(head)) for head in range(4)] == (
        [[0], [1], [2], [3]] if family == "gpt2" else [[0, 1], [0, 1], [2, 3], [2, 3]]
    )


@each_family
def test_a_projection_is_the_modules_rows(loaded, family):
    """q, k and v computed by `Linear` are what the module itself gives, also where one module holds
    all three.
    """
    block, x = loaded[family].blocks[1], torch.randn(2, 5, 32)
    whole = (
        torch.cat([linear.module(x) for linear in (block.q, block.k, block.v)], -1)
        if family != "gpt2"
        else block.q.module(x)
    )
    mine = torch.cat([linear(x) for linear in (block.q, block.k, block.v)], -1)
    assert torch.allclose(mine, whole, atol=1e-5) and mine.std() > 0.1
    assert torch.equal(
        block.k.weight, torch.stack([block.k.weight[i] for i in range(block.k.weight.shape[0])])
    )
    first = block.v.output_features(8, 16)
    assert torch.equal(Linear(block.v.module).weight[list(first)], block.v.weight[8:16])


@each_family
def test_norms_are_the_modules(loaded, family):
    norm, x = loaded[family].blocks[0].attn_norm, 3 + 2 * torch.randn(4, 32)
    mine = (x - x.mean(-1, keepdim=True) if norm.centred else x) * norm.scale(x) * norm.gain + (
        0 if norm.bias is None else norm.bias
    )
    assert torch.allclose(mine, norm.module(x), atol=1e-5) and norm.centred == (
        family == "gpt2"
    ) == (norm.bias is not None)


def test_the_fingerprint_changes_with_one_bit_of_one_weight():
    a, b = tiny("qwen2"), tiny("qwen2")
    assert weights_hash(a) == weights_hash(b) and len(weights_hash(a)) == 16
    with torch.no_grad():
        b.model.layers[1].mlp.down_proj.weight.view(torch.int32)[3, 5] ^= 1
    assert weights_hash(a) != weights_hash(b)


def test_an_unknown_family_is_refused(monkeypatch):
    monkeypatch.delitem(families.FAMILIES, "llama")
    with pytest.raises(
        ValueError,
        match="of type 'llama', which is not supported; choose one of type bert, .*gpt2, .*mistral",
    ):
        Model(tiny("llama"), None)
