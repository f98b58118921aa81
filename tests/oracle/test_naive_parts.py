"""The oracle's two parts add up to the total at every step, and a broken rule is seen."""

import pytest
import torch

from oracle import naive
from oracle.naive_cases import IDS, build, each_body, means
from support.tiny import tiny


def worst_gap(hf, **how):
    mu, how = means(hf), how | {"clean": naive.totals(hf, IDS)}
    return max(naive.decompose(hf, IDS, layer, 1, mu[layer, 1], **how).gap() for layer in range(3))


@each_body
@pytest.mark.parametrize(("attention", "positions"), [("softmax", "all"), ("frozen", "readout")])
def test_parts_sum_to_the_total_at_every_step(case, attention, positions, monkeypatch):
    """The shared-bias rules lose bias * 1e-8 / (|rel| + |irrel| + 1e-8): up to 3e-5 measured, 5e-15
    without.
    """
    hf, how = build(case), {"attention": attention, "positions": positions}
    assert worst_gap(hf, **how) < 1e-4
    monkeypatch.setattr(naive, "TOL", 1e-30)
    assert worst_gap(hf, **how) < 1e-13


QKV, TURNED, ATTENTION = ["q", "k", "v"], ["q_rope", "k_rope"], ["z", "attn_out", "attn_add"]


GATED, PLAIN = ["up", "up_clash", "gate", "gate_clash", "act"], ["up", "up_clash", "act"]


DOWN, BLOCK = ["mlp_out", "mlp_out_clash"], ["block", "block_clash"]


SANDWICH = ["z", "attn_out", "attn_post", "attn_add"], [*GATED, *DOWN, "mlp_post", *BLOCK]


@pytest.mark.parametrize(
    ("family", "later", "every", "end"),
    [
        (
            "llama",
            ["attn_norm", *QKV, *TURNED],
            [*ATTENTION, "mlp_norm", *GATED, *DOWN, *BLOCK],
            ["final_norm"],
        ),
        (
            "gpt_neox",
            ["attn_norm", *QKV, *TURNED],
            [*ATTENTION, "mlp_norm", *PLAIN, *DOWN, *BLOCK],
            ["final_norm"],
        ),
        (
            "gemma2",
            ["attn_norm", *QKV, *TURNED],
            [*SANDWICH[0], "mlp_norm", *SANDWICH[1]],
            ["final_norm", "head1"],
        ),
        (
            "qwen3",
            ["attn_norm", *QKV, "q_norm", "k_norm", *TURNED],
            [*ATTENTION, "mlp_norm", *GATED, *DOWN, *BLOCK],
            ["final_norm"],
        ),
        (
            "olmo2",
            [*QKV, "q_norm", "k_norm", *TURNED],
            [*SANDWICH[0], *SANDWICH[1]],
            ["final_norm"],
        ),
        (
            "bert",
            [*QKV, *TURNED],
            [*ATTENTION, "attn_after", *PLAIN, *DOWN, *BLOCK, "mlp_after", "mlp_after_clash"],
            ["head1", "head2"],
        ),
    ],
)
def test_every_step_is_checked(family, later, every, end):
    names = [name for name, *_ in naive.decompose(tiny(family), IDS, 1, 0, torch.zeros(8)).steps]
    assert names == [f"L1.{s}" for s in every] + [f"L2.{s}" for s in later + every] + [
        *end,
        "logits",
    ]


def whole_bias_to_both(rel, irrel, lin):
    bias = 0 if lin.bias is None else lin.bias
    return rel @ lin.weight + bias, irrel @ lin.weight + bias


def own_scale(rel, irrel, norm):
    return rel * norm.gain / naive.spread(rel, norm), irrel * norm.gain / naive.spread(irrel, norm)


def activation_of_each(rel, irrel, act):
    return act(rel), act(irrel)


def gate_without_cross_terms(gate_rel, gate_irrel, up_rel, up_irrel, act):
    return act(gate_rel) * up_rel, act(gate_irrel) * up_irrel


@pytest.mark.parametrize(
    ("family", "rule", "broken"),
    [
        ("gpt2", "linear_rule", whole_bias_to_both),
        ("qwen2", "linear_rule", whole_bias_to_both),
        ("llama", "norm_rule", own_scale),
        ("gemma3_text", "norm_rule", own_scale),
        ("olmo2", "norm_rule", own_scale),
        ("gpt2", "activation_rule", activation_of_each),
        ("gemma2", "activation_rule", activation_of_each),
        ("mistral", "gated_rule", gate_without_cross_terms),
        *(
            (family, "sign_clash", lambda rel, irrel: (rel.clamp(min=0), irrel))
            for family in ("gpt2", "bert", "gpt_neox")
        ),
    ],
)
def test_completeness_catches_a_broken_rule(family, rule, broken, monkeypatch):
    hf = tiny(family)
    assert worst_gap(hf) < 1e-4
    monkeypatch.setattr(naive, rule, broken)
    assert worst_gap(hf) > 1e-2
