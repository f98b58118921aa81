"""The fast walk against the slow literal one of naive.py: every rule, family, setting and head, in
padded batches.

Measured: about 3e-6 of the largest |R| in float32, 1e-9 in float64 (the walk's own rounding;
`Scores` keeps float32, 6e-8).
"""

import dataclasses

import pytest
import torch

from ctsft.attribution import cdt_rules
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.data.task import Example
from ctsft.model.loading import wrap
from oracle import naive
from oracle.comparison import ROWS, error, expected
from support.models import FAMILIES
from support.tiny import exact, tiny

BIASED = {
    "llama": {
        "attention_bias": True,
        "mlp_bias": True,
        "head_dim": 16,
        "hidden_act": "gelu_new",
        "rms_norm_eps": 0.1,
    },
    "mistral": {"sliding_window": 3, "head_dim": 12, "num_key_value_heads": 1},
    "qwen2": {
        "use_sliding_window": True,
        "sliding_window": 3,
        "max_window_layers": 1,
        "tie_word_embeddings": True,
    },
    "gpt2": {
        "tie_word_embeddings": False,
        "layer_norm_epsilon": 0.1,
        "activation_function": "relu",
    },
}


def check(model, task, rule=naive.relevance, attention="softmax", positions="all", **config):
    means = label_balanced_means(model, task, ROWS, positions)
    scores = score_heads(
        model, task, ROWS, means, attention=attention, batch_tokens=10**6, **config
    )
    return error(
        scores.per_example,
        expected(model, task, means, rule, attention=attention, positions=positions),
    )


@pytest.fixture(autouse=True)
def one_batch(monkeypatch):
    """All rows in one padded batch, whatever their lengths."""
    from ctsft.attribution import scoring_pass

    whole = scoring_pass.batches
    monkeypatch.setattr(
        scoring_pass,
        "batches",
        lambda model, encoded, budget: whole(model, encoded, 10**6, padding=0.9),
    )


@pytest.mark.parametrize("positions", ["all", "readout"])
@pytest.mark.parametrize("attention", ["softmax", "frozen"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_head_agrees_with_the_oracle(loaded, task, family, attention, positions):
    assert check(loaded[family], task, attention=attention, positions=positions) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_other_biases_windows_activations_and_head_sizes_agree(build, task, family):
    assert check(build(family, **BIASED[family]), task) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_in_float64_the_agreement_is_as_exact_as_float32_scores_can_hold(tokenizer, task, family):
    hf = exact(tiny(family, seed=FAMILIES[family]["seed"], vocab_size=len(tokenizer)))
    assert check(wrap(hf, tokenizer), task, positions="readout") < 1e-6


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_magnitude_agrees(loaded, task, family):
    assert (
        check(loaded[family], task, naive.magnitude, positions="readout", score="magnitude") < 1e-4
    )


@pytest.mark.parametrize(
    ("family", "attention"),
    [("gpt2", "softmax"), ("llama", "frozen"), ("mistral", "softmax"), ("qwen2", "softmax")],
)
def test_head_targets_agree(loaded, task, family, attention):
    """One target in the last block, one in the middle; heads of layer 1 reach only the first, those
    of layer 2 none.
    """
    model, targets, row = loaded[family], ((2, 3), (1, 0)), ROWS[1]
    means, labels, ids = (
        label_balanced_means(model, task, ROWS),
        task.label_ids(model),
        task.encode(model, row),
    )
    scores = score_heads(
        model, task, ROWS, means, attention=attention, targets=targets
    ).per_example[1]
    assert torch.isnan(scores[2]).all()
    sources = [(0, 0), (0, 2), (1, 1), (1, 3)]
    theirs = torch.tensor(
        [
            naive.head_target_relevance(
                model.hf,
                ids,
                labels[row.label],
                list(labels.values()),
                (layer, head),
                targets,
                means.values[layer, head].double(),
                attention=attention,
            )
            for layer, head in sources
        ]
    )
    assert error(torch.stack([scores[head] for head in sources]), theirs.double()) < 1e-4


def own_scale(rel, total, layer, scale=None):
    return rel * (layer.gain * layer.scale(rel))


@pytest.mark.parametrize(
    ("family", "rule", "broken"),
    [
        ("llama", "norm", own_scale),
        ("mistral", "clash", lambda rel, total: rel),
        ("gpt2", "activation", lambda rel, total, hidden, f: f(rel)),
        ("llama", "gated", lambda gate_rel, gate, up_rel, up, hidden, f: f(gate_rel) * up_rel),
    ],
)
def test_a_wrong_rule_is_seen(loaded, task, monkeypatch, family, rule, broken):
    monkeypatch.setitem(
        cdt_rules.RULES, "paper", dataclasses.replace(cdt_rules.RULES["paper"], **{rule: broken})
    )
    assert check(loaded[family], task, positions="readout") > 1e-2


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_a_wrong_share_of_biases_is_seen(loaded, task, monkeypatch, family):
    monkeypatch.setattr(cdt_rules, "add_share", lambda out, rel, total, bias: out.add_(0.5 * bias))
    assert check(loaded[family], task, positions="readout") > 1e-2


def test_wrong_key_value_groups_are_seen(loaded, task, monkeypatch):
    from torch.nn import functional as F

    whole = F.scaled_dot_product_attention

    def attend(q, k, v, mask, *words, enable_gqa, **named):
        # head 0 with the second group's keys
        if k.shape[1] == 2:
            k, v = k.flip(1), v.flip(1)
        return whole(q, k, v, mask, *words, enable_gqa=enable_gqa, **named)

    model = loaded["qwen2"]
    means = label_balanced_means(model, task, ROWS, "readout")
    theirs = expected(model, task, means, positions="readout")
    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    assert error(score_heads(model, task, ROWS, means).per_example, theirs) > 1e-2


def test_the_clamp_is_the_literal_sign_clash_rule():
    draw = torch.Generator().manual_seed(0)
    rel, irrel = (torch.randn(20000, generator=draw, dtype=torch.float64) for _ in range(2))
    irrel[:100], rel[100:200], irrel[200:300] = -rel[:100], 0, 0  # ties and zeros
    mine, (theirs, rest) = (
        cdt_rules.sign_clash(rel.clone(), rel + irrel),
        naive.sign_clash(rel, irrel),
    )
    assert (mine - theirs).abs().max() < 1e-15 and (rel + irrel - mine - rest).abs().max() < 1e-15
    # the rule did something
    assert (mine != rel).double().mean() > 0.4


def test_parts_of_a_bias_follow_the_sizes():
    bias, rel, irrel = (
        torch.tensor([6.0, 5.0, 4.0]),
        torch.tensor([1.0, 0.0, -3.0]),
        torch.tensor([2.0, -4.0, 1.0]),
    )
    assert cdt_rules.add_share(torch.zeros(3), rel, rel + irrel, bias).tolist() == pytest.approx(
        [2, 0, 3]
    )


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
@pytest.mark.parametrize("attention", ["softmax", "frozen"])
def test_a_text_scores_the_same_alone_and_in_a_padded_batch(loaded, task, family, attention):
    model, long = loaded[family], Example("l", "rain " * 30, "neutral", {"text": "rain " * 30})
    means = label_balanced_means(model, task, ROWS)
    together = score_heads(model, task, [*ROWS, long], means, attention=attention).per_example
    for i, row in enumerate([*ROWS, long]):
        alone = score_heads(model, task, [row], means, attention=attention).per_example[0]
        assert error(alone, together[i].double()) < 1e-5


@pytest.mark.parametrize("method", ["cdt", "atp", "ablation"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_chunk_size_changes_no_score(loaded, task, family, method):
    model = loaded[family]
    means = label_balanced_means(model, task, ROWS)
    large, small = (
        score_heads(model, task, ROWS, means, method, batch_tokens=n).per_example
        for n in (10**6, 1)
    )
    assert error(small, large.double()) < 1e-5
