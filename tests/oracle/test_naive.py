"""The oracle is checked against HF, against itself (completeness), against arithmetic on paper and
against HF hooks.
"""

import math

import pytest
import torch

from oracle import naive
from oracle.naive_cases import CASES, IDS, build, hf_logits, labels, out_projections, readout
from oracle.naive_forward import pattern, rotate
from oracle.naive_net import ACTIVATIONS, Layer, Rope
from oracle.naive_paper import STEPS, paper
from support.tiny import ENCODERS, FAMILIES, exact, tiny

each_case = pytest.mark.parametrize("case", CASES)
each_body = pytest.mark.parametrize(
    "case",
    [case for case in CASES if not case.endswith("-classes")] + ["gpt2-classes", "gemma2-classes"],
)
NO_FLOAT32 = {"gpt2", *ENCODERS}


def means(hf):
    return naive.label_balanced_means(hf, [IDS, IDS[::-1], IDS[:7]], ["a", "b", "a"])[0]


# ---- the models and the forward --------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_is_drawn_and_nothing_drops_out(family):
    hf = tiny(family)
    assert all(param.unique().numel() > 0.9 * param.numel() > 1 for param in hf.parameters())
    assert torch.equal(hf_logits(hf.train()), hf_logits(hf.eval()))


@each_case
@torch.no_grad()
def test_forward_is_the_models(case):
    """Measured: up to 2e-6 in eager float64 HF, whose RMSNorm, RoPE and softmax are float32; 2e-14
    without those.
    """
    hf, eager = build(case), build(case).double()
    eager.set_attn_implementation("eager")
    mine = naive.totals(hf, IDS).logits
    assert (mine - hf_logits(eager)).abs().max() < (
        1e-12 if hf.config.model_type in NO_FLOAT32 else 1e-5
    )
    assert (mine - hf_logits(exact(hf))).abs().max() < 1e-12
    assert mine.std() > 0.2  # the comparison is of real numbers, not of zeros


@each_case
@torch.no_grad()
def test_z_is_what_the_output_projection_reads(case):
    hf, seen = exact(build(case)), []
    for module in out_projections(hf):
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    hf_logits(hf)
    for mine, theirs in zip(naive.totals(hf, IDS).z, seen, strict=True):
        assert (mine.flatten(1) - theirs).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("mistral", {"sliding_window": 5}),
        ("mistral", {"rms_norm_eps": 1e-3}),
        ("phi3", {"sliding_window": None}),
        ("phi3", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
        ("gpt_neox", {"use_parallel_residual": False}),
        (
            "gpt_neox",
            {
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "partial_rotary_factor": 0.25,
                }
            },
        ),
        ("gemma2", {"attn_logit_softcapping": 6.0}),
        ("gemma2", {"final_logit_softcapping": 9.0}),
        ("gemma2", {"query_pre_attn_scalar": 8}),
        ("gemma2", {"sliding_window": 5}),
        ("gemma3_text", {"layer_types": ["full_attention"] * 3}),
        (
            "gemma3_text",
            {"rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 1e6}}},
        ),
        ("roberta", {"pad_token_id": 5}),
        ("bert", {"hidden_act": "relu"}),
        ("distilbert", {"activation": "gelu_new"}),
    ],
)
@torch.no_grad()
def test_forward_check_sees_a_wrong_fact(family, change):
    assert (
        naive.totals(tiny(family, **change), IDS).logits - hf_logits(exact(tiny(family)))
    ).abs().max() > 1e-4


@torch.no_grad()
def test_a_cap_that_gemma3_keeps_but_does_not_apply():
    assert torch.equal(
        hf_logits(tiny("gemma3_text")), hf_logits(tiny("gemma3_text", attn_logit_softcapping=0.5))
    )


# ---- completeness ----------------------------------------------------------


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


# ---- arithmetic on paper ---------------------------------------------------


def pair(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def near(part, *numbers):
    return part.tolist() == pytest.approx(list(numbers), rel=1e-7, abs=1e-7)


def test_rules_on_paper():
    r, i = naive.sign_clash(pair(-3, 1, 2, 2), pair(1, -3, 3, -2))
    assert near(r, -2, 0, 2, 0) and near(i, 0, -2, 3, 0)
    # (1, 0) and (2, -4) by identity, bias (6, 5): shared 1 : 2 and 0 : 4
    r, i = naive.linear_rule(
        pair(1, 0), pair(2, -4), naive.Linear(torch.eye(2).double(), pair(6, 5))
    )
    assert near(r, 3, 0) and near(i, 6, 1)
    # the total (1, 7) has mean square (1 + 49) / 2 = 25, so everything is divided by 5
    r, i = naive.norm_rule(
        pair(1, 2), pair(0, 5), naive.Norm(pair(5, 10), None, 0.0, centred=False)
    )
    assert near(r, 1, 4) and near(i, 0, 10)
    relu = ACTIVATIONS["relu"]  # irrel: relu(-2) = 0; rel: relu(3 - 2) - 0 = 1, not relu(3)
    assert near(torch.stack(naive.activation_rule(pair(3), pair(-2), relu)).flatten(), 1, 0)
    # irrel: 2 * 4 = 8; rel: (1 + 2)(3 + 4) - 8 = 13
    assert near(
        torch.stack(naive.gated_rule(pair(1), pair(2), pair(3), pair(4), relu)).flatten(), 13, 8
    )


def test_caps_angles_and_spans_on_paper():
    # capped at 2: 2 * tanh(atanh(1/2)) = 1 against 0
    keys = pair(2 * math.atanh(0.5), 0)[:, None]
    plain = dict.fromkeys(("attn", "q", "k", "v", "o", "mlp", "up", "down"))
    p = pattern(pair(2), keys, Layer(**plain, scale=0.5, cap=2.0))
    assert near(p, math.e / (1 + math.e), 1 / (1 + math.e))
    assert near(
        pattern(pair(2), keys / 2, Layer(**plain, scale=math.log(3) / math.atanh(0.5) / 2)),
        0.75,
        0.25,
    )
    # position 1, theta 1: coordinates 0 and 1 turn by one radian, 2 and 3 stay
    turned = rotate(pair(1, 0, 5, 6, 1, 0, 5, 6).reshape(2, 1, 4), Rope(1.0, 2))
    assert near(turned.flatten(), 1, 0, 5, 6, math.cos(1), math.sin(1), 5, 6)
    # two heads of one coordinate, (1, 7): the mean square over both is 25, over each 1 and 49
    heads = pair(1, 7).reshape(1, 2, 1)
    for gain, parts in ((pair(5, 10), (1, 14)), (pair(5), (5, 5))):
        norm = naive.Norm(gain, None, 0.0, centred=False)
        assert near(
            naive.norm_rule(naive.by_span(heads, norm), 0 * naive.by_span(heads, norm), norm)[
                0
            ].flatten(),
            *parts,
        )


@pytest.mark.parametrize(
    ("attention", "positions", "rel", "z"),
    [
        ("softmax", "all", 180, 22.25),
        ("frozen", "all", 158, 19.5),
        ("frozen", "readout", 58, 7),
    ],
)
def test_paper_case(attention, positions, rel, z):
    hf, how = paper(), {"attention": attention, "positions": positions}
    done = naive.decompose(hf, [0, 1], 0, 0, pair(2), **how)
    assert near(done.rel_logits, rel, -rel, rel) and near(
        done.irrel_logits, 855 - rel, rel - 855, 855 - rel
    )
    assert near(done.rel_z[1, 0], z) and near(done.rel_z[1, 1], -z)
    assert set(naive.decompose(hf, [0, 1], 0, 0, pair(2), targets=[(1, 1)], **how).rel_z) == {
        (1, 1)
    }
    assert naive.relevance(hf, [0, 1], 0, [0, 1], 0, 0, pair(2), **how) == pytest.approx(2 * rel)
    # gold 1 against the mean of tokens 0 and 2: -rel - (rel + rel) / 2
    assert naive.relevance(hf, [0, 1], 1, [0, 1, 2], 0, 0, pair(2), **how) == pytest.approx(
        -2 * rel
    )
    assert naive.magnitude(hf, [0, 1], [0, 1], 0, 0, pair(2), **how) == pytest.approx(
        rel / (855 - rel)
    )
    # L1.H0 writes (4 z, 0), L1.H1 writes (0, -4 z); v / |v| = (1, -1) / sqrt 2; layer 0 is not
    # later than the source
    targets = [(1, 0), (1, 1), (0, 1), (0, 0)]
    score = naive.head_target_relevance(hf, [0, 1], 0, [0, 1], (0, 0), targets, pair(2), **how)
    assert score == pytest.approx(2 * (4 * z / 2**0.5) / 4)


@pytest.mark.parametrize(("step", "rel", "irrel"), STEPS)
def test_paper_steps(step, rel, irrel):
    parts = {name: part for name, *part in naive.decompose(paper(), [0, 1], 0, 0, pair(2)).steps}
    assert near(parts[step][0].flatten(), *rel) and near(parts[step][1].flatten(), *irrel)


def test_means_on_paper():
    """z of L0.H0: text (0, 1) 3, 1; text (0) 3; text (1, 1) -1, -1. Label a: (2 + 3) / 2; balanced
    with b: .75.
    """
    texts, labels = [[0, 1], [0], [1, 1]], ["a", "a", "b"]
    balanced, each = naive.label_balanced_means(paper(), texts, labels)
    assert near(each["a"][0, 0], 2.5) and near(each["b"][0, 0], -1) and near(balanced[0, 0], 0.75)
    # z 1, 3, -1
    balanced, each = naive.label_balanced_means(paper(), texts, labels, positions="readout")
    assert near(each["a"][0, 0], 2) and near(balanced[0, 0], 0.5)


# ---- the companions --------------------------------------------------------


@each_body
@pytest.mark.parametrize("positions", ["all", "readout"])
def test_companions_against_hooks_on_the_model(case, positions):
    """Mean ablation and attribution patching done on HF's own forward, by hooks on what the output
    projection reads.
    """
    plain = build(case)
    hf, mu, grabbed = exact(plain), means(plain), []
    gold, every = labels(hf)
    use = slice(None) if positions == "all" else [readout(hf)]
    layer, head, d_head = 1, 2, mu.shape[-1]
    columns = slice(head * d_head, (head + 1) * d_head)

    def direction():
        logits = hf_logits(hf)
        return logits[gold] - logits[[y for y in every if y != gold]].mean()

    def ablate(_, args):
        z = args[0].clone()
        z[0, use, columns] = mu[layer, head]
        return (z,)

    intact = direction()
    hook = out_projections(hf)[layer].register_forward_pre_hook(ablate)
    drop = (intact - direction()).item()
    hook.remove()
    mine = naive.mean_ablation(plain, IDS, gold, every, layer, head, mu[layer, head], positions)
    assert mine == pytest.approx(drop, abs=1e-12) and abs(drop) > 1e-6

    for module in out_projections(hf):
        module.register_forward_pre_hook(lambda _, args: grabbed.append(args[0]))
    slopes = torch.autograd.grad(direction(), grabbed)
    theirs = torch.stack(
        [
            ((z[0, use] - mu[at].flatten()) * slope[0, use]).sum(0).reshape(-1, d_head).sum(-1)
            for at, (z, slope) in enumerate(zip(grabbed, slopes, strict=True))
        ]
    )
    scores = naive.attribution_patching(plain, IDS, gold, every, mu, positions)
    assert (scores - theirs).abs().max() < 1e-12


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_attribution_patching_is_the_slope_of_ablation(family):
    """Near z, ablation to z - step (z - mu) is step times attribution; at a full step they part
    (the control).
    """
    hf, step = tiny(family), 1e-6
    gold, every = labels(hf)
    # the readout's z, so "mu" can be put near it
    z = naive.totals(hf, IDS).z[1][readout(hf), 2]
    mu = means(hf)
    slope = naive.attribution_patching(hf, IDS, gold, every, mu, "readout")[1, 2].item()
    small = (
        naive.mean_ablation(hf, IDS, gold, every, 1, 2, z - step * (z - mu[1, 2]), "readout") / step
    )
    full = naive.mean_ablation(hf, IDS, gold, every, 1, 2, mu[1, 2], "readout")
    assert small == pytest.approx(slope, rel=1e-4)
    assert full != pytest.approx(slope, rel=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_relevant_when_z_is_the_mean(family):
    hf = tiny(family)
    z = naive.totals(hf, IDS).z[1][readout(hf), 2]
    assert naive.decompose(hf, IDS, 1, 2, z, positions="readout").rel_logits.abs().max() == 0
    assert naive.decompose(hf, IDS, 1, 2, z, positions="all").rel_logits.abs().max() > 1e-4


def test_a_classifier_of_two_layers_is_one_direction_to_a_target_head():
    hf = tiny("bert")
    mu, parts = means(hf), hf.double()
    rel_z = naive.decompose(hf, IDS, 0, 1, mu[0, 1]).rel_z[2, 3]
    reads = (
        parts.classifier.weight[1] - parts.classifier.weight[[0, 2]].mean(0)
    ) @ parts.bert.pooler.dense.weight
    writes = parts.bert.encoder.layer[2].attention.output.dense.weight[:, 24:] @ rel_z
    score = naive.head_target_relevance(hf, IDS, 1, [0, 1, 2], (0, 1), [(2, 3)], mu[0, 1])
    assert (
        score == pytest.approx((writes @ reads / reads.norm()).item(), abs=1e-12)
        and abs(score) > 1e-4
    )


def test_wrong_choices_are_refused():
    hf = tiny("llama")
    with pytest.raises(ValueError, match="softmax"):
        naive.decompose(hf, IDS, 0, 0, torch.zeros(8), attention="linear")
    with pytest.raises(ValueError, match="readout"):
        naive.decompose(hf, IDS, 0, 0, torch.zeros(8), positions="last")
    with pytest.raises(ValueError, match="gold"):
        naive.relevance(hf, IDS, 1, [4, 5, 6], 0, 0, torch.zeros(8))
    with pytest.raises(ValueError, match="classes"):
        tiny("bert", kind="causal")
    with pytest.raises(ValueError, match="linear"):
        naive.totals(
            tiny(
                "llama",
                rope_parameters={"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0},
            ),
            IDS,
        )
