"""The parts of a head's direct effect by source token: against a loop by hand over a plain GPT-2,
and their sum against the direct effect of every family.
"""

import pytest
import torch

from ctsft.attribution.direct_effect import direct_effect
from ctsft.attribution.source_tokens import source_effects
from ctsft.model.batching import pad
from ctsft.model.forward import record
from support.models import FAMILIES

ROW = [5, 9, 31, 60, 2, 17, 8]
LABELS = {"positive": 3, "negative": 7, "neutral": 11}


def lead(logits, label: str) -> torch.Tensor:
    others = [logits[token] for name, token in LABELS.items() if name != label]
    return logits[LABELS[label]] - sum(others) / len(others)


@pytest.mark.parametrize("head", [(0, 1), (1, 2)])
def test_by_hand_one_source_token_at_a_time(build, head):
    """GPT-2: softmax by hand, one value at a time through c_proj and the final norm."""
    model, seen = build("gpt2"), {}
    hf, (layer, index) = model.hf, head
    block, d = hf.transformer.h[layer].attn, model.d_head
    hooks = [
        block.c_attn.register_forward_hook(lambda _, __, out: seen.update(qkv=out)),
        hf.transformer.ln_f.register_forward_pre_hook(lambda _, args: seen.update(x=args[0])),
    ]
    with torch.no_grad():
        hf(torch.tensor([ROW]))
        [hook.remove() for hook in hooks]
        q, k, v = (part[0, :, index * d : (index + 1) * d] for part in seen["qkv"].chunk(3, dim=-1))
        weights = torch.softmax(q[-1] @ k.T / d**0.5, dim=-1)
        x, norm = seen["x"][0, -1], hf.transformer.ln_f
        by_hand = []
        for attended, value in zip(weights, v, strict=True):
            o = attended * value @ block.c_proj.weight[index * d : (index + 1) * d]
            normed = (o - o.mean()) / (x.var(unbiased=False) + norm.eps).sqrt() * norm.weight
            by_hand.append(lead(hf.lm_head.weight @ normed, "negative"))
        effects = source_effects(model, record(model, pad([ROW], "cpu")), head, LABELS, "negative")
    by_hand = torch.stack(by_hand)
    assert effects.shape == (len(ROW),)
    assert (effects - by_hand).abs().max() < 1e-5 * by_hand.abs().max() and by_hand.std() > 1e-4


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_parts_add_up_to_the_direct_effect(family, loaded):
    model = loaded[family]
    labels = {"positive": 0, "negative": 1} if model.classes else LABELS
    head = (model.n_layers - 1, model.n_heads - 1)
    with torch.no_grad():
        trace = record(model, pad([ROW], "cpu"))
        effect = direct_effect(model, trace, head)
        parts = source_effects(model, trace, head, labels, "positive")
    others = [effect[token] for name, token in labels.items() if name != "positive"]
    whole = effect[labels["positive"]] - sum(others) / len(others)
    assert parts.sum() == pytest.approx(whole.item(), rel=1e-3, abs=1e-6)
    other_way = source_effects(model, trace, head, labels, "negative")
    assert not torch.allclose(parts, other_way), "it is about the label that is asked"
