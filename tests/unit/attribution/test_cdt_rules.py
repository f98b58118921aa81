"""Single rules: completeness, the paper's and the symmetric ones, and what they become where they
must agree.
"""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from ctsft.attribution import cdt_rules
from ctsft.attribution.cdt import Propagation
from ctsft.attribution.cdt_rules import RULES
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.model.architecture import Norm
from ctsft.model.batching import pad
from ctsft.model.forward import record
from ctsft.model.model import Model
from oracle.comparison import ROWS, error
from support.tasks import LABELS
from support.tiny import tiny

PAPER, SYMMETRIC = RULES["paper"], RULES["symmetric"]


def parts(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    rel, irrel = (torch.randn(2, 3, 5, 8, generator=draw, dtype=torch.float64) for _ in range(2))
    # one total for every source
    irrel = irrel[:1] + rel[:1] - rel
    return rel, (rel + irrel)[0]


def layer_norm(centred: bool) -> Norm:
    draw = torch.Generator().manual_seed(3)
    module = torch.nn.LayerNorm(8).double() if centred else torch.nn.RMSNorm(8).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(8, generator=draw))
    return Norm(module, 1e-5 if centred else 1e-6, centred)


@pytest.mark.parametrize("f", [torch.tanh, F.relu, F.gelu, F.silu])
@torch.no_grad()
def test_a_symmetric_activation_pays_each_part_its_shapley_value(f):
    rel, total = parts()
    irrel, hidden, zero = total - rel, f(total), f(torch.zeros(()).double())
    mine, other = (SYMMETRIC.activation(part.clone(), total, hidden, f) for part in (rel, irrel))
    # both sides by one rule: what is due to neither is f(0)
    assert torch.allclose(mine + other + zero, hidden.expand_as(mine), atol=1e-12)
    assert torch.allclose(mine, ((f(total) - f(irrel)) + (f(rel) - zero)) / 2, atol=1e-12)
    paper = PAPER.activation(rel.clone(), total, hidden, f)
    assert (
        torch.allclose(paper, f(total) - f(irrel), atol=1e-12) and (paper - mine).abs().max() > 0.05
    )


@torch.no_grad()
def test_a_symmetric_product_pays_each_part_its_shapley_value():
    (g, gate), (u, up) = parts(seed=1), parts(seed=2)
    hidden = F.silu(gate) * up

    def rule(rules, gate_rel, up_rel):
        return rules.gated(gate_rel.clone(), gate, up_rel.clone(), up, hidden, F.silu)

    assert torch.allclose(
        rule(SYMMETRIC, g, u) + rule(SYMMETRIC, gate - g, up - u), hidden.expand_as(g), atol=1e-12
    )
    assert torch.allclose(rule(PAPER, g, u), hidden - F.silu(gate - g) * (up - u), atol=1e-12)
    nothing = torch.zeros_like(g)
    assert (
        rule(SYMMETRIC, nothing, nothing).abs().max()
        == 0
        == rule(PAPER, nothing, nothing).abs().max()
    )


@pytest.mark.parametrize("centred", [True, False])
@torch.no_grad()
def test_a_symmetric_norm_shares_the_change_of_scale(centred):
    """rel' = rel s(total) + irrel (s(total) - s(irrel)) / 2 and irrel' = irrel (s(total) +
    s(irrel)) / 2, biases as in the paper's rule.
    """
    norm, (rel, total) = layer_norm(centred), parts()
    irrel = total - rel
    mine = SYMMETRIC.norm(rel, total, norm)

    def centre(x):
        return x - x.mean(-1, keepdim=True) if centred else x

    share = (
        norm.bias * irrel.abs() / (rel.abs() + irrel.abs() + cdt_rules.TOLERANCE) if centred else 0
    )
    rest = centre(irrel) * norm.gain * (norm.scale(total) + norm.scale(irrel)) / 2 + share
    assert torch.allclose(mine + rest, norm(total).expand_as(mine), atol=1e-6)
    assert torch.allclose(norm.module(total), norm(total), atol=1e-9)
    assert (PAPER.norm(rel, total, norm) - mine).abs().max() > 0.05


@torch.no_grad()
def test_where_nothing_is_nonlinear_both_are_the_same():
    rel, total = parts()
    assert torch.allclose(
        SYMMETRIC.activation(rel.clone(), total, 3 * total, lambda x: 3 * x), 3 * rel, atol=1e-12
    )
    assert torch.allclose(
        PAPER.activation(rel.clone(), total, 3 * total, lambda x: 3 * x), 3 * rel, atol=1e-12
    )
    assert SYMMETRIC.clash(rel, total) is rel


@torch.no_grad()
def test_a_part_is_shortened_only_when_it_has_outgrown_the_total():
    total = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
    rel = torch.tensor([[[6.0, -7.9], [30.0, -40.0], [1.0, 1.0], [0.0, 0.0]]])
    assert torch.allclose(
        SYMMETRIC.end(rel.clone(), total),
        torch.tensor([[[6.0, -7.9], [6.0, -8.0], [0.0, 0.0], [0.0, 0.0]]]),
    )
    some, whole = parts()
    assert torch.equal(SYMMETRIC.end(some.clone() * 0.1, whole + 5), some * 0.1)


@torch.no_grad()
def test_parts_that_cancel_do_not_grow_without_end():
    """In a gated MLP the parts' products grow with their squares; behind a block no part is more
    than twice as long as the total.
    """
    model = Model(tiny("llama"), None)
    model.hf.set_attn_implementation("ctsft")
    for block in model.blocks:
        for layer in (block.up, block.gate, block.down):
            layer.module.weight.mul_(4)
    trace = record(model, pad([[5, 9, 31, 60, 2], [3, 7, 8, 9, 1]], "cpu"))
    walk, free = (
        Propagation(model, trace, rules="symmetric"),
        Propagation(model, trace, rules="symmetric"),
    )
    free.rule = replace(SYMMETRIC, end=SYMMETRIC.clash)
    directions = F.normalize(
        torch.randn(4, *trace.x[1].shape, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    large = 20 * trace.x[1].norm(dim=-1, keepdim=True) * directions
    grown, bounded = (one.block(1, large.clone()).norm(dim=-1) for one in (free, walk))
    most = 2 * walk.totals(1).out.norm(dim=-1)
    assert (grown > 10 * most).any() and (bounded <= 1.0001 * most).all()


@torch.no_grad()
@pytest.mark.parametrize("attention", ["softmax", "frozen"])
def test_everything_relevant_is_the_total(attention):
    """When all of the residual stream is relevant, so is all of every block's output: whatever the
    rules share, nothing is lost.
    """
    model = Model(tiny("llama").double(), None)
    model.hf.set_attn_implementation("ctsft")
    trace = record(model, pad([[5, 9, 31, 60, 2], [3, 7]], "cpu"))
    for name in RULES:
        walk = Propagation(model, trace, attention=attention, rules=name)
        for layer in (1, 2):
            out = walk.block(layer, trace.x[layer][None].clone())
            assert (out - walk.totals(layer).out).abs().max() < 1e-6, name
        none = walk.block(1, torch.zeros_like(trace.x[1])[None])
        assert none.abs().max() < 1e-6, name


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "gemma2"])
def test_symmetric_scores_differ_and_are_finite(family, tokenizer, task):
    from ctsft.model.loading import wrap

    model = wrap(tiny(family, vocab_size=len(tokenizer)), tokenizer)
    means = label_balanced_means(model, task, ROWS)
    paper, symmetric = (
        score_heads(model, task, ROWS, means, rules=name) for name in ("paper", "symmetric")
    )
    assert (
        torch.isfinite(symmetric.per_example).all()
        and error(symmetric.per_example, paper.per_example.double()) > 1e-2
    )
    assert symmetric.config.rules == "symmetric" and set(paper.labels) == set(LABELS)


def test_normalised_by_layer(loaded, task):
    means = label_balanced_means(loaded["llama"], task, ROWS)
    plain, scaled = (
        score_heads(loaded["llama"], task, ROWS, means, normalise=name)
        for name in ("none", "layer")
    )
    assert torch.allclose(scaled.values.abs().mean(-1), torch.ones(3), atol=1e-5)
    assert torch.allclose(
        scaled.values / plain.values,
        (1 / plain.values.abs().mean(-1))[:, None].expand(3, 4),
        rtol=1e-4,
    )
