"""The oracle against Hugging Face's models and hooks on them."""

import pytest
import torch

from oracle import naive
from oracle.naive_cases import (
    CASES,
    IDS,
    build,
    each_body,
    hf_logits,
    labels,
    means,
    out_projections,
    readout,
)
from support.tiny import ENCODERS, FAMILIES, exact, tiny

each_case = pytest.mark.parametrize("case", CASES)


NO_FLOAT32 = {"gpt2", *ENCODERS}


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
