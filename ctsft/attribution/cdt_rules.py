"""The rules of contextual decomposition, one small function an operation (CD-T, arXiv 2407.00886,
section 3).

Every activation is split into a relevant and an irrelevant part with `rel + irrel = total`. The
totals do not depend on which head is the source, so only `rel` is propagated, and the rules are
written in terms of `rel` and `total`:

    linear      rel W, and of the bias the share |rel W| : |irrel W|
    residual    the parts add
    LayerNorm   each part centred by its own mean, divided by the total's deviation; bias shared
                |rel| : |irrel|
    RMSNorm     rel * gain / rms(total)
    attention   softmax(q_rel k_rel) v_rel, or with the pattern frozen P v_rel
    sign clash  where the parts differ in sign the larger takes the sum, the smaller becomes 0: that
                is `clamp(rel, 0, total)`
    activation  f(total) - f(irrel);  gated MLP  f(gate) up - f(gate_irrel) up_irrel

Those are `RULES["paper"]`. What a nonlinear step does jointly (its cross terms) they give to `rel`
wherever `irrel` alone would not do it: `f(total) - f(irrel)` is the drop that ablating `rel` causes
at that step. If every operation used it, the result would be mean ablation itself, at the cost of
CD-T.

`RULES["symmetric"]` shares cross terms evenly: each step pays its two parts their Shapley value
(Shapley 1953; Murdoch et al. 2018 linearise activations so in the first contextual decomposition),
with v(S) the step's output when only the parts in S are present:

    activation  (f(total) - f(irrel) + f(rel) - f(0)) / 2
    gated MLP   (h(total) - h(irrel) + h(rel)) / 2, with h = f(gate) up and both inputs' parts as
                one player
    norms       v(rel) = rel s(total), v(irrel) = irrel s(irrel), v(both) = total s(total), where s
                is gain over deviation or rms: so
                rel s(total) + irrel (s(total) - s(irrel)) / 2, half of what the relevant part does
                to the scale of the rest. (rel alone is measured at the total's scale: s(rel) would
                enlarge a small part to unit size.)

and has no sign clash. Linear maps, biases and attention are as in the paper's rules. Both keep `rel
+ irrel = total`. Without the clash two parts may cancel: a product of parts that are larger than
their total grows with their square, block after block, until it is infinite (seen on SmolLM2-135M).
So after each block a part that is more than twice as long as the total, which only happens by
cancellation, is shortened to twice the total's length; other parts stay unchanged.

Shapes: rel is [source, batch, pos, ...], totals are [batch, pos, ...]. A function may overwrite
`rel` where it says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ctsft.model.activations import scratch
from ctsft.model.architecture import Linear, Norm

TOLERANCE = 1e-8  # of the bias shares, as in the paper's code


def add_share(out, rel, total, bias):
    """out += bias * |rel| / (|rel| + |irrel| + 1e-8), elementwise; |rel| + |total - rel| is the
    larger of |total| and |total - 2 rel|.
    """
    sizes = torch.sub(total, rel, alpha=2, out=scratch.take("irrel", rel)).abs_()
    torch.maximum(sizes, total.abs().add_(TOLERANCE), out=sizes)
    return out.addcdiv_(torch.abs(rel, out=scratch.take("size", rel)).mul_(bias), sizes)


def linear(rel, total, layer: Linear):
    """rel after a linear map; `total` is the map's own output, bias included."""
    weight, bias = layer.weight, layer.bias
    out = F.linear(rel, weight)
    return out if bias is None else add_share(out, out, total - bias, bias)


def product(rel, layer: Linear, into: str):
    """rel times a linear map's weights, without its bias, in the scratch buffer `into`."""
    weight = layer.weight
    out = scratch.take(into, rel, *rel.shape[:-1], len(weight))
    torch.mm(rel.reshape(-1, rel.shape[-1]), weight.T, out=out.view(-1, len(weight)))
    return out


def share_and_clash(rel, total, layer: Linear, rule: "Rules"):
    """In place: a map's `product` with its share of the bias, after the sign clash."""
    if layer.bias is not None:
        add_share(rel, rel, total - layer.bias, layer.bias)
    return rule.clash(rel, total)


def paper_norm(rel, total, layer: Norm, scale=None):
    """`total` is the norm's input, `scale` is `layer.scale(total)` where it is known."""
    factor = layer.gain * (layer.scale(total) if scale is None else scale)
    if not layer.centred:
        return rel * factor
    out = (rel - rel.mean(-1, keepdim=True)).mul_(factor)
    return out if layer.bias is None else add_share(out, rel, total, layer.bias)


def symmetric_norm(rel, total, layer: Norm, scale=None):
    """As `paper_norm`, with half of the change of scale that rel causes for the rest."""
    scale = layer.scale(total) if scale is None else scale
    irrel = total - rel
    centred = irrel - irrel.mean(-1, keepdim=True) if layer.centred else irrel
    # [source, batch, pos, 1]
    change = (scale - layer.scale(irrel)).mul_(0.5)
    return paper_norm(rel, total, layer, scale).addcmul_(centred * layer.gain, change)


def sign_clash(rel, total):
    """In place: where rel lies between 0 and the total, both parts have the total's sign and stay;
    elsewhere the larger part takes everything.
    """
    return torch.clamp(rel, total.clamp(max=0), total.clamp(min=0), out=rel)


def no_sign_clash(rel, total):
    return rel


def limit_length(rel, total):
    """In place: a token's part that is more than twice as long as its total is shortened to twice
    the total's length.
    """
    length = torch.linalg.vector_norm(rel, dim=-1, keepdim=True)
    longest = 2 * torch.linalg.vector_norm(total, dim=-1, keepdim=True)
    return rel.mul_(torch.where(length > longest, longest / length, 1.0))


def paper_activation(rel, total, hidden, f: Callable):
    """In place; `hidden` is f(total)."""
    return torch.sub(hidden, f(torch.sub(total, rel, out=rel)), out=rel)


def symmetric_activation(rel, total, hidden, f: Callable):
    """The Shapley value of rel; `hidden` is f(total)."""
    return (f(rel.clone()) - f(total - rel)).add_(hidden).sub_(f(torch.zeros_like(total))).mul_(0.5)


def paper_gated(gate_rel, gate, up_rel, up, hidden, f: Callable):
    """In place; `hidden` is f(gate) * up."""
    irrel = f(torch.sub(gate, gate_rel, out=gate_rel)).mul_(torch.sub(up, up_rel, out=up_rel))
    # exactly 0 where nothing is relevant, which a fused operation would not give
    return torch.sub(hidden, irrel, out=gate_rel)


def symmetric_gated(gate_rel, gate, up_rel, up, hidden, f: Callable):
    """The Shapley value of both relevant inputs together; `hidden` is f(gate) * up."""
    alone = f(gate_rel.clone()).mul_(up_rel)
    return alone.sub_(f(gate - gate_rel).mul_(up - up_rel)).add_(hidden).mul_(0.5)


@dataclass(frozen=True)
class Rules:
    """One function for each operation that the two sets of rules treat differently."""

    norm: Callable
    clash: Callable
    activation: Callable
    gated: Callable
    # after a block, when the outputs of attention and MLP are added
    end: Callable


RULES = {
    "paper": Rules(paper_norm, sign_clash, paper_activation, paper_gated, sign_clash),
    "symmetric": Rules(
        symmetric_norm, no_sign_clash, symmetric_activation, symmetric_gated, limit_length
    ),
}
