"""The naive way to run CD-T: both streams, each through every matrix, totals as their sum. Only a
yardstick: it gives the same scores.

It takes many heads at a time like the library, but computes everything twice, at every position of
every block. It starts at the source's layer, or with `whole` at the first block, with nothing
relevant before the source, as code does that propagates from the embeddings for whatever source.
"""

import torch
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from ctsft.attribution.cdt_rules import TOLERANCE
from ctsft.model.architecture import Linear, Norm
from ctsft.model.forward import Trace
from ctsft.model.model import Model


def linear(rel, irrel, layer: Linear):
    rel, irrel = F.linear(rel, layer.weight), F.linear(irrel, layer.weight)
    if layer.bias is None:
        return rel, irrel
    size = rel.abs() + irrel.abs() + TOLERANCE
    return rel + layer.bias * rel.abs() / size, irrel + layer.bias * irrel.abs() / size


def norm(rel, irrel, layer: Norm):
    scale = layer.scale(rel + irrel) * layer.gain
    if not layer.centred:
        return rel * scale, irrel * scale
    size = rel.abs() + irrel.abs() + TOLERANCE
    return (
        (rel - rel.mean(-1, keepdim=True)) * scale + layer.bias * rel.abs() / size,
        (irrel - irrel.mean(-1, keepdim=True)) * scale + layer.bias * irrel.abs() / size,
    )


def clash(rel, irrel):
    opposite, larger = rel * irrel < 0, rel.abs() > irrel.abs()
    total, zero = rel + irrel, torch.zeros_like(rel)
    return (
        torch.where(opposite, torch.where(larger, total, zero), rel),
        torch.where(opposite, torch.where(larger, zero, total), irrel),
    )


def attention(model: Model, trace: Trace, layer: int, q, k, v):
    """(q_rel, q_irrel), ... -> (z_rel, z_irrel), [source, batch, pos, head * d_head]."""
    call, d, sources = trace.calls[layer], model.d_head, len(v[0])

    def shape(x):
        return x.unflatten(-1, (-1, d)).flatten(0, 1).transpose(1, 2)

    mask = call.mask.expand(sources, *call.mask.shape).flatten(0, 1)

    def mix(q, k, v):
        q, k, v = shape(q), shape(k), shape(v)
        if trace.rotary[layer] is not None:
            cos, sin = (
                part.repeat(sources, 1, 1)
                for part in (angle.expand(len(call.query), -1, -1) for angle in trace.rotary[layer])
            )
            q, k = apply_rotary_pos_emb(q, k, cos, sin)
        groups = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        z = torch.softmax(call.scale * q @ k.transpose(-1, -2) + mask, -1) @ v
        return z.transpose(1, 2).unflatten(0, (sources, -1)).flatten(-2)

    rel = mix(q[0], k[0], v[0])
    return rel, mix(q[0] + q[1], k[0] + k[1], v[0] + v[1]) - rel


def to_logits(
    model: Model, trace: Trace, layer: int, heads: list[int], mu, tokens, whole: bool = False
):
    """rel of the label tokens' logits at the readout, [source, batch, token]."""
    z = trace.z[layer]
    # [source, batch, pos, head, d_head]
    rel = torch.zeros(len(heads), *z.shape)
    for i, head in enumerate(heads):
        rel[i, ..., head, :] = (z[..., head, :] - mu[i]) * trace.batch.real[..., None]
    split = rel, z - rel
    start = 0 if whole else layer
    x = torch.zeros(len(heads), *trace.x[start].shape), trace.x[start].repeat(len(heads), 1, 1, 1)
    for later in range(start, model.n_layers):
        block = model.blocks[later]
        if later == layer:
            parts = tuple(part.flatten(-2) for part in split)
        else:
            n = norm(*x, block.attn_norm)
            parts = attention(
                model, trace, later, linear(*n, block.q), linear(*n, block.k), linear(*n, block.v)
            )
        out = linear(*parts, block.o)
        mid = x[0] + out[0], x[1] + out[1]
        n = norm(*mid, block.mlp_norm)
        up = clash(*linear(*n, block.up))
        if block.gate is None:
            irrel = block.act(up[1].clone())
            hidden = block.act(up[0] + up[1]) - irrel, irrel
        else:
            gate = clash(*linear(*n, block.gate))
            irrel = block.act(gate[1].clone()) * up[1]
            hidden = block.act(gate[0] + gate[1]) * (up[0] + up[1]) - irrel, irrel
        down = clash(*linear(*hidden, block.down))
        x = clash(mid[0] + down[0], mid[1] + down[1])
    index = trace.batch.readout
    rel, irrel = (part[:, torch.arange(len(index)), index] for part in x)
    n = norm(rel, irrel, model.architecture.final_norm)
    return F.linear(n[0], model.architecture.unembedding[tokens])


def scores(model: Model, trace: Trace, mu, tokens, gold, whole: bool = False) -> torch.Tensor:
    """[batch, layer, head]."""
    return torch.stack(
        [
            (
                to_logits(model, trace, layer, list(range(model.n_heads)), mu[layer], tokens, whole)
                * gold
            )
            .sum(-1)
            .T
            for layer in range(model.n_layers)
        ],
        1,
    )
