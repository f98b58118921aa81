"""The plain forward of a `Net`, literal and in float64: one text, one head, one query position at a
time, no padding.

It knows nothing of parts, so what naive.py's two streams sum to at any step is checked against it.
"""

from dataclasses import dataclass, field

import torch

from oracle.naive_net import Layer, Linear, Net, Norm, Rope
from oracle.naive_readers import read


@dataclass
class Totals:
    z: list[torch.Tensor]  # per layer [pos, head, d_head]
    logits: torch.Tensor  # [vocab or class] at the readout
    # every step by name, [pos, ...]; from the head on at the readout only
    steps: dict[str, torch.Tensor] = field(repr=False)
    net: Net = field(repr=False)  # what computed it


def apply_linear(x, lin: Linear):
    y = x @ lin.weight
    return y if lin.bias is None else y + lin.bias


def spread(total, norm: Norm):
    """The standard deviation (LayerNorm) or root mean square (RMSNorm) that the parts are divided
    by, [..., 1].
    """
    if norm.centred:
        total = total - total.mean(-1, keepdim=True)
    return ((total**2).mean(-1, keepdim=True) + norm.eps).sqrt()


def apply_norm(x, norm: Norm):
    centred = x - x.mean(-1, keepdim=True) if norm.centred else x
    y = centred / spread(x, norm) * norm.gain
    return y if norm.bias is None else y + norm.bias


def rotate(x, rope: Rope | None):
    """RoPE, rotate_half convention: coordinate i turns with coordinate i + dims / 2. x: [pos, head,
    d_head].
    """
    if rope is None:
        return x
    half = rope.dims // 2
    angles = [[pos * rope.theta ** (-i / half) for i in range(half)] for pos in range(x.shape[0])]
    angle = torch.tensor(angles, dtype=x.dtype)[:, None]  # [pos, 1, dims / 2]
    first, second, rest = x[..., :half], x[..., half : rope.dims], x[..., rope.dims :]
    return torch.cat(
        (
            first * angle.cos() - second * angle.sin(),
            second * angle.cos() + first * angle.sin(),
            rest,
        ),
        dim=-1,
    )


def visible(pos: int, n: int, net: Net, layer: Layer) -> slice:
    if not net.causal:
        return slice(0, n)
    return slice(0 if layer.window is None else max(0, pos - layer.window + 1), pos + 1)


def pattern(query, keys, layer: Layer):
    """One row of attention. query: [d_head], keys: the visible ones, [seen, d_head]. Returns
    [seen].
    """
    scores = layer.scale * (keys @ query)
    if layer.cap is not None:
        scores = layer.cap * torch.tanh(scores / layer.cap)
    return torch.softmax(scores, dim=0)


def by_head(x, net: Net):
    return x.reshape(x.shape[0], -1, net.d_head)  # [pos, head, d_head]


def by_span(x, norm: Norm):
    # [pos, span, width]: what one query or key norm sees at once
    return x.reshape(x.shape[0], -1, norm.gain.numel())


def embed(ids, net: Net):
    """What the first block reads, [pos, d_model]."""
    x = torch.stack([net.embed[int(token)] for token in ids])
    if net.pos_embed is not None:
        places, count = [], 0
        for token in ids:
            if net.pad is None:
                places.append(len(places))
            else:
                count += int(token) != net.pad
                places.append(net.pad + count if int(token) != net.pad else net.pad)
        x = x + net.pos_embed[places]
    return x if net.embed_norm is None else apply_norm(x, net.embed_norm)


def totals(hf, ids, edit=lambda layer, z: z) -> Totals:
    """The model's forward by hand. `edit(layer, z)` may replace a layer's z [pos, head, d_head]."""
    net, n = read(hf), len(ids)
    steps, all_z = {}, []

    def keep(name, value):
        steps[name] = value
        return value

    def normed(name, value, norm):
        return value if norm is None else keep(name, apply_norm(value, norm))

    x = embed(ids, net)
    for index, layer in enumerate(net.layers):
        at = f"L{index}."
        keep(at + "in", x)
        read_by_attn = normed(at + "attn_norm", x, layer.attn.pre)
        # [pos, head, d_head]
        q = keep(at + "q", by_head(apply_linear(read_by_attn, layer.q), net))
        # [pos, kv_head, d_head]
        k = keep(at + "k", by_head(apply_linear(read_by_attn, layer.k), net))
        v = keep(at + "v", by_head(apply_linear(read_by_attn, layer.v), net))
        if layer.q_norm is not None:
            q = keep(
                at + "q_norm", by_head(apply_norm(by_span(q, layer.q_norm), layer.q_norm), net)
            )
            k = keep(
                at + "k_norm", by_head(apply_norm(by_span(k, layer.k_norm), layer.k_norm), net)
            )
        q = keep(at + "q_rope", rotate(q, layer.rope))
        k = keep(at + "k_rope", rotate(k, layer.rope))
        heads = []
        for head in range(net.n_heads):
            kv, rows = head // (net.n_heads // net.n_kv), []
            for pos in range(n):
                seen = visible(pos, n, net, layer)
                rows.append(pattern(q[pos, head], k[seen, kv], layer) @ v[seen, kv])  # [d_head]
            heads.append(torch.stack(rows))  # [pos, d_head]
        z = keep(at + "z", edit(index, torch.stack(heads, dim=1)))  # [pos, head, d_head]
        all_z.append(z)
        out = keep(at + "attn_out", apply_linear(z.reshape(n, -1), layer.o))
        out = normed(at + "attn_post", out, layer.attn.post)
        middle = normed(at + "attn_after", keep(at + "attn_add", x + out), layer.attn.after)
        read_by_mlp = normed(at + "mlp_norm", x if net.parallel else middle, layer.mlp.pre)
        up = keep(at + "up", apply_linear(read_by_mlp, layer.up))  # [pos, d_mlp]
        if layer.gate is None:
            hidden = keep(at + "act", net.act(up))
        else:
            hidden = keep(
                at + "act", net.act(keep(at + "gate", apply_linear(read_by_mlp, layer.gate))) * up
            )
        out = keep(at + "mlp_out", apply_linear(hidden, layer.down))
        out = normed(at + "mlp_post", out, layer.mlp.post)
        x = normed(at + "mlp_after", keep(at + "block", middle + out), layer.mlp.after)
    x = normed("final_norm", x, net.final_norm)[net.readout]  # [d_model]
    for i, part in enumerate(net.head, start=1):
        x = apply_linear(x, part) if isinstance(part, Linear) else part(x)
        keep("logits" if i == len(net.head) else f"head{i}", x)
    return Totals(all_z, x, steps, net)
