"""Contextual decomposition of a transformer (CD-T, arXiv 2407.00886): the rules, and the one walk that applies them.

Every activation is split into a relevant and an irrelevant part with `rel + irrel = total`. The totals do not depend on
which head is the source, so they are computed once and shared; only `rel` is propagated, for many heads and examples
at a time, and the rules below are written in terms of `rel` and `total` (irrel = total - rel):

    linear      rel W, and of the bias the share |rel W| : |irrel W|
    residual    the parts add
    LayerNorm   each part centred by its own mean, divided by the total's deviation; bias shared |rel| : |irrel|
    RMSNorm     rel * gain / rms(total)
    attention   softmax(q_rel k_rel) v_rel, or with the pattern frozen P v_rel
    sign clash  where the parts differ in sign the larger takes the sum, the smaller becomes 0: that is `clamp(rel, 0, total)`
    activation  f(total) - f(irrel);  gated MLP  f(gate) up - f(gate_irrel) up_irrel

Shapes: rel is [source, batch, pos, ...], totals are [batch, pos, ...]. Past the last attention only the readout position
matters, so pos is 1 there.
"""
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ctsft.models import Linear, Model, Norm
from ctsft.trace import Trace

TOLERANCE = 1e-8                                    # of the bias shares, as in the paper's code


def share(bias, rel, irrel):
    """The relevant part's share of a bias, elementwise: bias * |rel| / (|rel| + |irrel| + 1e-8)."""
    size = rel.abs()
    whole = irrel.abs().add_(size).add_(TOLERANCE)
    return size.div_(whole).mul_(bias)


def linear(rel, total, layer: Linear):
    """`total` is the layer's own output, bias included."""
    out = F.linear(rel, layer.weight)
    return out if layer.bias is None else out.add_(share(layer.bias, out, (total - layer.bias) - out))


def norm(rel, total, layer: Norm):
    """`total` is the layer's input."""
    if not layer.centred:
        return rel * (layer.gain * layer.scale(total))
    out = (rel - rel.mean(-1, keepdim=True)) * (layer.gain * layer.scale(total))
    return out if layer.bias is None else out + share(layer.bias, rel, total - rel)


def sign_clash(rel, total):
    """Between 0 and the total both parts have its sign; outside, the larger part takes everything."""
    return torch.clamp(rel, total.clamp(max=0), total.clamp(min=0))


def activation(rel, total, f: Callable):
    return f(total) - f(total - rel)


def gated(gate_rel, gate, up_rel, up, f: Callable):
    return f(gate) * up - f(gate - gate_rel) * (up - up_rel)


@dataclass(frozen=True)
class Totals:
    """The whole activations inside one block (shared by every source)."""
    x: torch.Tensor                                 # [batch, pos, d_model]
    q: torch.Tensor                                 # [batch, query pos, head * d_head], before RoPE; query pos is 1 in the last block
    k: torch.Tensor                                 # [batch, pos, kv_head * d_head]
    v: torch.Tensor
    z: torch.Tensor                                 # [batch, query pos, head, d_head]
    o: torch.Tensor                                 # [batch, query pos, d_model]
    mid: torch.Tensor                               # the residual stream between attention and MLP
    gate: torch.Tensor | None                       # [batch, query pos, d_mlp]
    up: torch.Tensor
    down: torch.Tensor
    out: torch.Tensor                               # [batch, query pos, d_model]


def plain_norm(x, layer: Norm):
    centred = x - x.mean(-1, keepdim=True) if layer.centred else x
    out = centred * layer.scale(x) * layer.gain
    return out if layer.bias is None else out + layer.bias


def pick(x, at):
    """[..., batch, pos, d] at one position of each text, [..., batch, 1, d]; everything when `at` is None."""
    if at is None:
        return x
    index = at.view(-1, 1, 1).expand(*x.shape[:-2], 1, x.shape[-1])
    return x.gather(-2, index)


@dataclass
class Walk:
    """CD-T on one traced batch: `attention` is "softmax" or "frozen"; `keep` caches the totals of every block."""
    model: Model
    trace: Trace
    attention: str = "softmax"
    keep: bool = True

    def __post_init__(self):
        self._totals: dict[int, Totals] = {}

    def at(self, layer: int):
        """Positions the block's output is needed at: all (None), or in the last block each text's readout."""
        return self.trace.batch.readout if layer == self.model.n_layers - 1 else None

    def totals(self, layer: int) -> Totals:
        """Our own reading of a block, from the recorded residual stream that enters it."""
        if layer in self._totals:
            return self._totals[layer]
        block, x, at = self.model.blocks[layer], self.trace.x[layer], self.at(layer)
        n = plain_norm(x, block.attn_norm)
        q, k, v = block.q(pick(n, at)), block.k(n), block.v(n)
        z = self.attend(layer, q[None], k[None], v[None])[0]           # [batch, query pos, head, d_head]
        o = block.o(z.flatten(-2))
        mid = pick(x, at) + o
        m = plain_norm(mid, block.mlp_norm)
        up, gate = block.up(m), block.gate and block.gate(m)
        down = block.down(block.act(up) if gate is None else block.act(gate) * up)
        totals = Totals(x, q, k, v, z, o, mid, gate, up, down, mid + down)
        if self.keep:
            self._totals[layer] = totals
        return totals

    def attend(self, layer: int, q, k, v):
        """softmax(scale q k^T + mask) v for [source, batch, pos, head * d_head] parts -> [source, batch, query pos, head, d_head]."""
        call, sources, d = self.trace.calls[layer], v.shape[0], self.model.d_head
        q, k, v = (part.unflatten(-1, (-1, d)).flatten(0, 1).transpose(1, 2) for part in (q, k, v))   # [source * batch, head, pos, d_head]
        if self.model.architecture.rope is not None:
            q, k = self.rotate(layer, q, k)
        mask, at = call.mask, self.at(layer)                            # [batch, 1, pos, pos]
        if at is not None:
            mask = mask[torch.arange(len(at), device=at.device), :, at][:, :, None]   # [batch, 1, 1, pos]
        mask = mask.expand(sources, *mask.shape).flatten(0, 1)          # [source * batch, 1, query pos, pos]
        z = F.scaled_dot_product_attention(q, k, v, mask, scale=call.scale, enable_gqa=True)
        return z.transpose(1, 2).unflatten(0, (sources, -1))

    def rotate(self, layer: int, q, k):
        """RoPE turns both parts alike; in the last block the queries stand at the readout."""
        rope, at, size = self.model.architecture.rope, self.at(layer), len(self.trace.batch.ids)
        angles = [part.expand(size, -1, -1) for part in self.trace.rotary[layer]]        # cos and sin, [batch, pos, d_rotary]
        whole = [part.repeat(q.shape[0] // size, 1, 1) for part in angles]
        if at is None:
            return rope(q, k, *whole)
        there = [pick(part, at).repeat(q.shape[0] // size, 1, 1) for part in angles]
        return rope(q, q, *there)[0], rope(k, k, *whole)[0]

    def source(self, layer: int, heads: list[int], mu, everywhere: bool = True):
        """rel behind block `layer` when its `heads`, one a source, are split into z - mu and mu.

        mu: [head, d_head], the means of these heads. `everywhere`: at every real position, otherwise at the readout only.
        Returns [source, batch, query pos, d_model].
        """
        block, totals, batch, d = self.model.blocks[layer], self.totals(layer), self.trace.batch, self.model.d_head
        rel_z = totals.z[..., heads, :].permute(2, 0, 1, 3) - mu[:, None, None]          # [source, batch, query pos, d_head]
        if self.at(layer) is None:
            split = batch.real if everywhere else torch.arange(batch.ids.shape[1], device=mu.device) == batch.readout[:, None]
            rel_z = rel_z * split[..., None]
        columns = block.o.weight.unflatten(1, (-1, d))[:, heads].permute(1, 2, 0)        # [source, d_head, d_model]
        out = torch.matmul(rel_z, columns[:, None])
        if block.o.bias is not None:
            out = out + share(block.o.bias, out, totals.o - block.o.bias - out)
        return self.mlp(layer, out)

    def heads(self, layer: int, rel_x):
        """rel of every head's z in a block, from rel of the residual stream: [source, batch, query pos, head, d_head]."""
        block, totals = self.model.blocks[layer], self.totals(layer)
        n = norm(rel_x, totals.x, block.attn_norm)
        v = linear(n, totals.v, block.v)
        if self.attention == "frozen":
            q, k = (part.expand(len(n), *part.shape) for part in (totals.q, totals.k))
        else:
            q, k = linear(pick(n, self.at(layer)), totals.q, block.q), linear(n, totals.k, block.k)
        return self.attend(layer, q, k, v)

    def block(self, layer: int, rel_x, rel_z=None):
        """rel behind a block, from rel in front of it."""
        block, totals = self.model.blocks[layer], self.totals(layer)
        rel_z = self.heads(layer, rel_x) if rel_z is None else rel_z
        return self.mlp(layer, pick(rel_x, self.at(layer)) + linear(rel_z.flatten(-2), totals.o, block.o))

    def mlp(self, layer: int, mid):
        """The second half of a block, from rel of the residual stream in its middle."""
        block, totals = self.model.blocks[layer], self.totals(layer)
        n = norm(mid, totals.mid, block.mlp_norm)
        up = sign_clash(linear(n, totals.up, block.up), totals.up)
        if block.gate is None:
            hidden = activation(up, totals.up, block.act)
        else:
            gate = sign_clash(linear(n, totals.gate, block.gate), totals.gate)
            hidden = gated(gate, totals.gate, up, totals.up, block.act)
        down = sign_clash(linear(hidden, totals.down, block.down), totals.down)
        return sign_clash(mid + down, totals.out)

    def logits(self, rel, tokens):
        """rel of some tokens' logits at the readout, [source, batch, token]; rel: [source, batch, 1, d_model] behind the last block."""
        architecture, last = self.model.architecture, self.totals(self.model.n_layers - 1).out
        n, total = norm(rel, last, architecture.final_norm)[..., 0, :], plain_norm(last, architecture.final_norm)[..., 0, :]
        weight, bias = architecture.unembed.weight[tokens], architecture.unembed.bias
        out = F.linear(n, weight)
        return out if bias is None else out + share(bias[tokens], out, F.linear(total, weight) - out)

    def to_logits(self, layer: int, heads: list[int], mu, tokens, everywhere: bool = True):
        """The whole way from the sources to rel of the logits, [source, batch, token]."""
        rel = self.source(layer, heads, mu, everywhere)
        for later in range(layer + 1, self.model.n_layers):
            rel = self.block(later, rel)
        return self.logits(rel, tokens)

    def to_heads(self, layer: int, heads: list[int], mu, targets, everywhere: bool = True):
        """rel of later heads' z at the readout: {target: [source, batch, d_head]} for the targets behind `layer`."""
        rel, found = self.source(layer, heads, mu, everywhere), {}
        for later in range(layer + 1, max((target for target, _ in targets), default=0) + 1):
            rel_z = self.heads(later, rel)                              # [source, batch, query pos, head, d_head]
            at = None if self.at(later) is not None else self.trace.batch.readout
            z = pick(rel_z.flatten(-2), at)[..., 0, :].unflatten(-1, (-1, self.model.d_head))
            found |= {(later, head): z[..., head, :] for target, head in targets if target == later}
            rel = self.block(later, rel, rel_z)
        return found


def replay_error(model: Model, trace: Trace) -> float:
    """Largest difference between our reading of the model and its recorded pass, over all blocks and the readout's logits,
    relative to the largest value of each."""
    walk, at = Walk(model, trace, keep=False), trace.batch.readout

    def error(ours, theirs):
        return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30)).item()

    errors = []
    for layer in range(model.n_layers):
        totals, theirs = walk.totals(layer), pick(trace.x[layer + 1], walk.at(layer))
        real = trace.batch.real if walk.at(layer) is None else torch.ones_like(at, dtype=torch.bool)[:, None]
        errors.append(error(totals.out[real], theirs[real]))
    final = plain_norm(pick(trace.x[-1], at), model.architecture.final_norm)[:, 0]
    errors.append(error(model.architecture.unembed(final), trace.logits))
    return torch.tensor(errors).max().item()          # unlike Python's max, it does not step over a NaN
