"""The oracle is checked against HF, against itself (completeness), against arithmetic on paper and against HF hooks.

`paper()` is GPT-2 with d_model 2, two heads of d_head 1, two layers, relu, LayerNorm eps 0, tokens (0, 1).
LayerNorm of (a, b) is here (1, -1) times the sign of a - b; a part (r, s) becomes (r - s) / |a - b| (1, -1).

    layer 0, total   x = (3, 1), (1, 3); normed (1, -1), (-1, 1); v = 2 normed + 1 = (3, -1), (-1, 3); q = 0, so
                     position 1 sees half and half: z = (3, -1), (1, 1).  mu of head 0 = (3 + 1) / 2 = 2
    split head 0     rel (1, 0), (-1, 0)            irrel (2, -1), (2, 1)
    o: (a, a + b)    rel (1, 1), (-1, -1)           irrel (2, 1), (2, 3)
       bias (6, 0)   shared 1 : 2 both times: rel +2, irrel +4
                     rel (3, 1), (1, -1)            irrel (6, 1), (6, 3)
    + x              rel the same                   irrel (9, 2), (7, 6)        total (12, 3), (8, 5)
    norm, gain 9     2/9, 7/9 and 2/3, 1/3 of 9:    rel (2, -2), (6, -6); irrel (7, -7), (3, -3)
       bias (8, 0)   shared 3 : 9 and 1 : 7 (the inputs): rel +2, +1; irrel +6, +7
                     rel (4, -2), (7, -6)           irrel (13, -7), (10, -3)
    MLP-in           (a + b, a + 2 b): rel (2, 0), (1, -5); irrel (6, -1), (7, 4)
       bias (8, 0)   shared 2 : 6 and 1 : 7: rel +2, +1; irrel +6, +7
                     rel (4, 0), (2, -5)            irrel (12, -1), (14, 4)
    sign clash       position 1: -5 against 4 -> rel -1, irrel 0
    relu             rel (16 - 12, 0), (16 - 14, 0) = (4, 0), (2, 0); irrel (12, 0), (14, 0)
    MLP-out          (a / 2, -a / 4): rel (2, -1), (1, -1/2); irrel (6, -3), (7, -7/2)
    block            rel (5, 0), (2, -3/2)          irrel (15, -1), (14, 5/2)
    sign clash       position 1: -3/2 against 5/2 -> rel 0, irrel 1; total (20, -1), (16, 1)
    layer 1 norm     gain 105; a - b = 21, 15: rel 105 * 5/21 = 25, 105 * 2/15 = 14; irrel 80, 91; all times (1, -1)
    attention        q = c normed, c = ln 3 / 154, k = v = normed. Rel scores of position 1: 14 * 25 c and
                     14 * 14 c; they differ by 14 * 11 c = ln 3: P_rel = (3/4, 1/4). Totals are equal: P = (1/2, 1/2)
                     z_rel = 3/4 * 25 + 1/4 * 14 = 22.25, z_irrel = 105 - 22.25 = 82.75 (times (1, -1))
                     frozen: (25 + 14) / 2 = 19.5.  frozen, only the readout split: (0 + 14) / 2 = 7
    o: times 4       rel 89, irrel 331;  frozen 78;  readout 28  (of 420, times (1, -1))
    + x              rel (91, -89), irrel (345, -330): total (436, -419); layer 1's MLP is 0
    final norm       gain 855 = 436 + 419: rel 91 + 89 = 180, irrel 675; frozen 80 + 78 = 158; readout 30 + 28 = 58
    logits           a, b, 2 a + b: rel (180, -180, 180), irrel (675, -675, 675)
"""
import math

import naive
import pytest
import torch
import transformers as tf
from tiny import exact, tiny

IDS = [3, 7, 1, 44, 20, 5, 9, 31, 60, 2, 17, 8]
GOLD, LABELS = 5, [4, 5, 6]
CASES = {
    "gpt2": ("gpt2", {}),
    "gpt2-untied": ("gpt2", {"tie_word_embeddings": False, "layer_norm_epsilon": 0.1, "activation_function": "gelu"}),
    "llama": ("llama", {}),
    "llama-biased": ("llama", {
        "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "rms_norm_eps": 0.1, "head_dim": 16,
        "hidden_act": "gelu_new", "rope_parameters": {"rope_type": "default", "rope_theta": 50.0},
    }),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral-window": ("mistral", {"sliding_window": 4}),
    "qwen2": ("qwen2", {}),
    "qwen2-window": ("qwen2", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
}
each_case = pytest.mark.parametrize("case", CASES)


def build(case):
    family, overrides = CASES[case]
    return tiny(family, **overrides)


def means(hf):
    return naive.label_balanced_means(hf, [IDS, IDS[::-1], IDS[:7]], ["a", "b", "a"])[0]


def hf_logits(hf):
    with torch.no_grad():
        return hf(torch.tensor([IDS])).logits[0, -1].double()


def out_projections(hf):
    """The module that reads each layer's z, heads side by side."""
    if hf.config.model_type == "gpt2":
        return [block.attn.c_proj for block in hf.transformer.h]
    return [block.self_attn.o_proj for block in hf.model.layers]


# ---- the forward ---------------------------------------------------------------------------------------------------

@each_case
def test_forward_is_the_models(case):
    """Measured: up to 3e-6 in eager float64 HF, whose RMSNorm, RoPE and softmax are float32; 3e-14 without those."""
    hf = build(case)
    double = build(case).double()
    double.set_attn_implementation("eager")
    mine = naive.totals(hf, IDS).logits
    assert (mine - hf_logits(double)).abs().max() < (1e-12 if case.startswith("gpt2") else 1e-5)
    assert (mine - hf_logits(exact(hf))).abs().max() < 1e-12
    assert mine.std() > 0.3  # the comparison is of real numbers, not of zeros


@each_case
def test_z_is_what_the_output_projection_reads(case):
    hf, seen = exact(build(case)), []
    for module in out_projections(hf):
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    hf_logits(hf)
    for mine, theirs in zip(naive.totals(hf, IDS).z, seen, strict=True):
        assert (mine.flatten(1) - theirs).abs().max() < 1e-12


@pytest.mark.parametrize("change", [{"sliding_window": 5}, {"rms_norm_eps": 1e-3}])
def test_forward_check_sees_a_wrong_fact(change):
    hf = tiny("mistral", sliding_window=4)
    wrong = tiny("mistral", **{"sliding_window": 4, **change})
    assert (naive.totals(wrong, IDS).logits - hf_logits(exact(hf))).abs().max() > 1e-4


# ---- completeness --------------------------------------------------------------------------------------------------

def worst_gap(hf, **how):
    mu = means(hf)
    return max(naive.decompose(hf, IDS, layer, 1, mu[layer, 1], **how).gap() for layer in range(3))


@each_case
@pytest.mark.parametrize("attention", ["softmax", "frozen"])
@pytest.mark.parametrize("positions", ["all", "readout"])
def test_parts_sum_to_the_total_at_every_step(case, attention, positions, monkeypatch):
    """The shared-bias rules lose bias * 1e-8 / (|rel| + |irrel| + 1e-8): up to 3e-5 measured, 3e-15 without."""
    hf, how = build(case), {"attention": attention, "positions": positions}
    assert worst_gap(hf, **how) < 1e-4
    monkeypatch.setattr(naive, "TOL", 1e-30)
    assert worst_gap(hf, **how) < 1e-13


def test_every_step_is_checked():
    names = [name for name, *_ in naive.decompose(tiny("llama"), IDS, 1, 0, torch.zeros(8)).steps]
    later = ["attn_norm", "q", "k", "v", "q_rope", "k_rope"]
    every = ["z", "attn_out", "attn_add", "mlp_norm", "up", "up_clash", "gate", "gate_clash", "act"]
    every += ["mlp_out", "mlp_out_clash", "block", "block_clash"]
    assert names == [f"L1.{s}" for s in every] + [f"L2.{s}" for s in later + every] + ["final_norm", "logits"]


def whole_bias_to_both(rel, irrel, lin):
    bias = 0 if lin.bias is None else lin.bias
    return rel @ lin.weight + bias, irrel @ lin.weight + bias


def own_scale(rel, irrel, norm):
    return rel * norm.gain / naive.spread(rel, norm), irrel * norm.gain / naive.spread(irrel, norm)


def activation_of_each(rel, irrel, act):
    return act(rel), act(irrel)


def gate_without_cross_terms(gate_rel, gate_irrel, up_rel, up_irrel, act):
    return act(gate_rel) * up_rel, act(gate_irrel) * up_irrel


@pytest.mark.parametrize(("family", "rule", "broken"), [
    ("gpt2", "linear_rule", whole_bias_to_both),
    ("qwen2", "linear_rule", whole_bias_to_both),
    ("llama", "norm_rule", own_scale),
    ("gpt2", "activation_rule", activation_of_each),
    ("mistral", "gated_rule", gate_without_cross_terms),
    ("gpt2", "sign_clash", lambda rel, irrel: (rel.clamp(min=0), irrel)),
])
def test_completeness_catches_a_broken_rule(family, rule, broken, monkeypatch):
    hf = tiny(family)
    assert worst_gap(hf) < 1e-4
    monkeypatch.setattr(naive, rule, broken)
    assert worst_gap(hf) > 1e-2


# ---- arithmetic on paper -------------------------------------------------------------------------------------------

def pair(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def near(part, *numbers):
    return part.tolist() == pytest.approx(list(numbers), rel=1e-7, abs=1e-7)


def test_rules_on_paper():
    r, i = naive.sign_clash(pair(-3, 1, 2, 2), pair(1, -3, 3, -2))
    assert near(r, -2, 0, 2, 0) and near(i, 0, -2, 3, 0)
    # (1, 0) and (2, -4) by identity, bias (6, 5): shared 1 : 2 and 0 : 4
    r, i = naive.linear_rule(pair(1, 0), pair(2, -4), naive.Linear(torch.eye(2).double(), pair(6, 5)))
    assert near(r, 3, 0) and near(i, 6, 1)
    # the total (1, 7) has mean square (1 + 49) / 2 = 25, so everything is divided by 5
    r, i = naive.norm_rule(pair(1, 2), pair(0, 5), naive.Norm(pair(5, 10), None, 0.0, centred=False))
    assert near(r, 1, 4) and near(i, 0, 10)
    relu = naive.ACTIVATIONS["relu"]  # irrel: relu(-2) = 0; rel: relu(3 - 2) - 0 = 1, not relu(3)
    assert near(torch.stack(naive.activation_rule(pair(3), pair(-2), relu)).flatten(), 1, 0)
    # irrel: 2 * 4 = 8; rel: (1 + 2)(3 + 4) - 8 = 13
    assert near(torch.stack(naive.gated_rule(pair(1), pair(2), pair(3), pair(4), relu)).flatten(), 13, 8)


def paper():
    config = tf.GPT2Config(
        vocab_size=3, n_embd=2, n_inner=2, n_layer=2, n_head=2, n_positions=2, activation_function="relu",
        layer_norm_epsilon=0.0, tie_word_embeddings=False, bos_token_id=None, eos_token_id=None,
    )
    hf = tf.GPT2LMHeadModel(config).double().eval()
    c = math.log(3) / 154
    numbers = {  # Conv1D: [in, out], so a row says where an input goes
        "transformer.wte.weight": [[3, 1], [0, 4], [0, 0]], "transformer.wpe.weight": [[0, 0], [1, -1]],
        "transformer.h.0.ln_1.weight": [1, 1],
        "transformer.h.0.attn.c_attn.weight": [[0, 0, 0, 0, 2, 0], [0, 0, 0, 0, 0, 2]],
        "transformer.h.0.attn.c_attn.bias": [0, 0, 0, 0, 1, 1],
        "transformer.h.0.attn.c_proj.weight": [[1, 1], [0, 1]], "transformer.h.0.attn.c_proj.bias": [6, 0],
        "transformer.h.0.ln_2.weight": [9, 9], "transformer.h.0.ln_2.bias": [8, 0],
        "transformer.h.0.mlp.c_fc.weight": [[1, 1], [1, 2]], "transformer.h.0.mlp.c_fc.bias": [8, 0],
        "transformer.h.0.mlp.c_proj.weight": [[0.5, -0.25], [0, 0]],
        "transformer.h.1.ln_1.weight": [105, 105],
        "transformer.h.1.attn.c_attn.weight": [[c, 0, 1, 0, 1, 0], [0, c, 0, 1, 0, 1]],
        "transformer.h.1.attn.c_proj.weight": [[4, 0], [0, 4]],
        "transformer.h.1.ln_2.weight": [1, 1],
        "transformer.ln_f.weight": [855, 855], "lm_head.weight": [[1, 0], [0, 1], [2, 1]],
    }
    with torch.no_grad():
        for name, param in hf.named_parameters():
            param.copy_(torch.tensor(numbers[name]) if name in numbers else torch.zeros_like(param))
    return hf


@pytest.mark.parametrize(("attention", "positions", "rel", "z"), [
    ("softmax", "all", 180, 22.25), ("frozen", "all", 158, 19.5), ("frozen", "readout", 58, 7),
])
def test_paper_case(attention, positions, rel, z):
    hf, how = paper(), {"attention": attention, "positions": positions}
    done = naive.decompose(hf, [0, 1], 0, 0, pair(2), **how)
    assert near(done.rel_logits, rel, -rel, rel) and near(done.irrel_logits, 855 - rel, rel - 855, 855 - rel)
    assert near(done.rel_z[1, 0], z) and near(done.rel_z[1, 1], -z)
    assert set(naive.decompose(hf, [0, 1], 0, 0, pair(2), targets=[(1, 1)], **how).rel_z) == {(1, 1)}
    assert naive.relevance(hf, [0, 1], 0, [0, 1], 0, 0, pair(2), **how) == pytest.approx(2 * rel)
    # gold 1 against the mean of tokens 0 and 2: -rel - (rel + rel) / 2
    assert naive.relevance(hf, [0, 1], 1, [0, 1, 2], 0, 0, pair(2), **how) == pytest.approx(-2 * rel)
    assert naive.magnitude(hf, [0, 1], [0, 1], 0, 0, pair(2), **how) == pytest.approx(rel / (855 - rel))
    # L1.H0 writes (4 z, 0), L1.H1 writes (0, -4 z); v / |v| = (1, -1) / sqrt 2; layer 0 is not later than the source
    targets = [(1, 0), (1, 1), (0, 1), (0, 0)]
    score = naive.head_target_relevance(hf, [0, 1], 0, [0, 1], (0, 0), targets, pair(2), **how)
    assert score == pytest.approx(2 * (4 * z / 2**0.5) / 4)


@pytest.mark.parametrize(("step", "rel", "irrel"), [
    ("L0.z", [1, 0, -1, 0], [2, -1, 2, 1]), ("L0.attn_out", [3, 1, 1, -1], [6, 1, 6, 3]),
    ("L0.attn_add", [3, 1, 1, -1], [9, 2, 7, 6]), ("L0.mlp_norm", [4, -2, 7, -6], [13, -7, 10, -3]),
    ("L0.up", [4, 0, 2, -5], [12, -1, 14, 4]), ("L0.up_clash", [4, 0, 2, -1], [12, -1, 14, 0]),
    ("L0.act", [4, 0, 2, 0], [12, 0, 14, 0]), ("L0.block", [5, 0, 2, -1.5], [15, -1, 14, 2.5]),
    ("L0.block_clash", [5, 0, 2, 0], [15, -1, 14, 1]), ("L1.attn_norm", [25, -25, 14, -14], [80, -80, 91, -91]),
])
def test_paper_steps(step, rel, irrel):
    parts = {name: part for name, *part in naive.decompose(paper(), [0, 1], 0, 0, pair(2)).steps}
    assert near(parts[step][0].flatten(), *rel) and near(parts[step][1].flatten(), *irrel)


def test_means_on_paper():
    """z of L0.H0: text (0, 1) 3, 1; text (0) 3; text (1, 1) -1, -1. Label a: (2 + 3) / 2; balanced with b: .75."""
    texts, labels = [[0, 1], [0], [1, 1]], ["a", "a", "b"]
    balanced, each = naive.label_balanced_means(paper(), texts, labels)
    assert near(each["a"][0, 0], 2.5) and near(each["b"][0, 0], -1) and near(balanced[0, 0], 0.75)
    balanced, each = naive.label_balanced_means(paper(), texts, labels, positions="readout")  # z 1, 3, -1
    assert near(each["a"][0, 0], 2) and near(balanced[0, 0], 0.5)


# ---- the companions ------------------------------------------------------------------------------------------------

@each_case
@pytest.mark.parametrize("positions", ["all", "readout"])
def test_companions_against_hooks_on_the_model(case, positions):
    """Mean ablation and attribution patching done on HF's own forward, by hooks on what the output projection reads."""
    plain = build(case)
    hf, mu, grabbed = exact(plain), means(plain), []
    use = slice(None) if positions == "all" else slice(-1, None)
    layer, head, d_head = 1, 2, mu.shape[-1]
    columns = slice(head * d_head, (head + 1) * d_head)
    rest = [y for y in LABELS if y != GOLD]

    def direction():
        logits = hf(torch.tensor([IDS])).logits[0, -1]
        return logits[GOLD] - logits[rest].mean()

    def ablate(_, args):
        z = args[0].clone()
        z[0, use, columns] = mu[layer, head]
        return (z,)

    intact = direction()
    hook = out_projections(hf)[layer].register_forward_pre_hook(ablate)
    drop = (intact - direction()).item()
    hook.remove()
    mine = naive.mean_ablation(plain, IDS, GOLD, LABELS, layer, head, mu[layer, head], positions)
    assert mine == pytest.approx(drop, abs=1e-12) and abs(drop) > 1e-6

    for module in out_projections(hf):
        module.register_forward_pre_hook(lambda _, args: grabbed.append(args[0]))
    slopes = torch.autograd.grad(direction(), grabbed)
    theirs = torch.stack([
        ((z[0, use] - mu[at].flatten()) * slope[0, use]).sum(0).reshape(-1, d_head).sum(-1)
        for at, (z, slope) in enumerate(zip(grabbed, slopes, strict=True))
    ])
    scores = naive.attribution_patching(plain, IDS, GOLD, LABELS, mu, positions)
    assert (scores - theirs).abs().max() < 1e-12


def test_attribution_patching_is_the_slope_of_ablation():
    """Near z, ablation to z - step (z - mu) is step times attribution; at a full step they part (the control)."""
    hf, step = tiny("llama"), 1e-6
    z = naive.totals(hf, IDS).z[1][-1, 2]  # the readout's z, so "mu" can be put near it
    mu = means(hf)
    slope = naive.attribution_patching(hf, IDS, GOLD, LABELS, mu, "readout")[1, 2].item()
    small = naive.mean_ablation(hf, IDS, GOLD, LABELS, 1, 2, z - step * (z - mu[1, 2]), "readout") / step
    full = naive.mean_ablation(hf, IDS, GOLD, LABELS, 1, 2, mu[1, 2], "readout")
    assert small == pytest.approx(slope, rel=1e-4)
    assert full != pytest.approx(slope, rel=1e-2)


def test_nothing_is_relevant_when_z_is_the_mean():
    hf = tiny("gpt2")
    z = naive.totals(hf, IDS).z[1][-1, 2]
    assert naive.decompose(hf, IDS, 1, 2, z, positions="readout").rel_logits.abs().max() == 0
    assert naive.decompose(hf, IDS, 1, 2, z, positions="all").rel_logits.abs().max() > 1e-3


def test_wrong_choices_are_refused():
    hf = tiny("llama")
    with pytest.raises(ValueError, match="softmax"):
        naive.decompose(hf, IDS, 0, 0, torch.zeros(8), attention="linear")
    with pytest.raises(ValueError, match="readout"):
        naive.decompose(hf, IDS, 0, 0, torch.zeros(8), positions="last")
    with pytest.raises(ValueError, match="gold"):
        naive.relevance(hf, IDS, 1, LABELS, 0, 0, torch.zeros(8))
