"""Contextual decomposition of a transformer (CD-T, arXiv 2407.00886): the walk that applies the
rules from a head to the logits.

The totals are shared by every source, so one stream, `rel`, is propagated for many heads and
examples at a time. Past the last attention only the readout position matters, so pos is 1 there.
Shapes: rel is [source, batch, pos, ...].
"""

from dataclasses import dataclass
from functools import wraps

import torch

from ctsft.attribution.cdt_rules import RULES, add_share, linear
from ctsft.layers import Linear, Norm, present
from ctsft.models import Model
from ctsft.trace import Trace, attend


@dataclass(frozen=True)
class Totals:
    """The whole activations inside one block (shared by every source). In the last block the query
    position is the readout alone.
    """

    x: torch.Tensor  # [batch, pos, d_model]
    # [batch, query pos, head * d_head], before norm and RoPE
    q: torch.Tensor
    k: torch.Tensor  # [batch, pos, kv_head * d_head]
    v: torch.Tensor
    z: torch.Tensor  # [batch, query pos, head, d_head]
    o: torch.Tensor  # [batch, query pos, d_model]
    add: torch.Tensor  # x and the attention's part
    # the same behind the norm that follows the addition, if there is one
    mid: torch.Tensor
    inner: torch.Tensor  # what the MLP's half starts from
    gate: torch.Tensor | None  # [batch, query pos, d_mlp]
    up: torch.Tensor
    hidden: torch.Tensor
    down: torch.Tensor  # [batch, query pos, d_model]
    sum: torch.Tensor  # mid and the MLP's part
    out: torch.Tensor


def plain(x, norm: Norm | None):
    return x if norm is None else norm(x)


def pick(x, at):
    """[..., batch, pos, d] at one position of each text, [..., batch, 1, d]; everything when `at`
    is None.
    """
    if at is None:
        return x
    index = at.to(x.device).view(-1, 1, 1).expand(*x.shape[:-2], 1, x.shape[-1])
    return x.gather(-2, index)


def turn(x, cos, sin):
    """RoPE (rotate-half) of [source, batch, head, pos, d_head] by angles [batch, 1, pos, d_rotary];
    further features stay.
    """
    d = cos.shape[-1]
    part, half = x[..., :d], d // 2
    out = part * cos
    out[..., :half].addcmul_(part[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(part[..., :half], sin[..., half:])
    return out if d == x.shape[-1] else torch.cat([out, x[..., d:]], -1)


def loaded(step):
    """A step of the walk that needs the weights of the block it is at, wherever they are kept."""

    @wraps(step)
    def within(self, layer, *args, **words):
        with present(self.model.blocks[layer].module):
            return step(self, layer, *args, **words)

    return within


@dataclass
class Replay:
    """One traced batch, block by block, as the list of a model's modules says; `keep` caches the
    totals of every block, not of the latest only.
    """

    model: Model
    trace: Trace
    keep: bool = True

    def __post_init__(self):
        self._totals: dict[int, Totals] = {}
        self._masks: dict[int, tuple] = {}

    def at(self, layer: int):
        """Positions the block's output is needed at: all (None), or in the last block each text's
        readout.
        """
        return self.trace.batch.readout if layer == self.model.n_layers - 1 else None

    def totals(self, layer: int) -> Totals:
        """Our own reading of a block, from the recorded residual stream that enters it."""
        if layer in self._totals:
            return self._totals[layer]
        if not self.keep:
            # the latest block's only
            self._totals.clear()
        totals = self._totals[layer] = self.read(layer)
        return totals

    @loaded
    def read(self, layer: int) -> Totals:
        block, x, at = self.model.blocks[layer], self.trace.x[layer], self.at(layer)
        n = plain(x, block.attn_norm)
        q, k, v = block.q(pick(n, at)), block.k(n), block.v(n)
        z = self.mix(
            layer,
            *(
                part[None]
                for part in (self.heads_norm(q, block.q_norm), self.heads_norm(k, block.k_norm), v)
            ),
        )[0]
        o = block.o(z.flatten(-2))
        start = pick(x, at)
        add = start + plain(o, block.attn_post)
        mid = plain(add, block.attn_after)
        inner = start if block.parallel else mid
        m = plain(inner, block.mlp_norm)
        up, gate = block.up(m), block.gate and block.gate(m)
        hidden = block.act(up.clone()) if gate is None else block.act(gate.clone()) * up
        down = block.down(hidden)
        total = mid + plain(down, block.mlp_post)
        return Totals(
            x,
            q,
            k,
            v,
            z,
            o,
            add,
            mid,
            inner,
            gate,
            up,
            hidden,
            down,
            total,
            plain(total, block.mlp_after),
        )

    def by_head(self, x, norm: Norm):
        """[..., head * d_head] as [..., head, d_head] where the norm is of each head by itself."""
        single = norm.gain.numel() == self.model.d_head
        return x.unflatten(-1, (-1, self.model.d_head)) if single else x

    def heads_norm(self, x, norm: Norm | None):
        """QK-norm of [..., head * d_head], of each head or of all together by the gain's length."""
        if norm is None:
            return x
        parts = self.by_head(x, norm)
        return norm(parts).reshape(x.shape)

    def mask(self, layer: int) -> tuple[torch.Tensor | None, bool]:
        """The mask in its smallest form, [batch or 1, 1, query pos or 1, pos], and whether it is
        plainly causal (then None).

        Under a causal mask no real position sees padding, so the longest text's mask serves all.
        """
        if layer not in self._masks:
            mask, batch, at = self.trace.calls[layer].mask, self.trace.batch, self.at(layer)
            causal = False
            if mask is not None and batch.reads_first:
                # an encoder's queries all see the real positions
                mask = mask[:, :, :1]
            elif mask is not None and at is not None:
                mask = mask[torch.arange(len(at), device=mask.device), :, at.to(mask.device)][
                    :, :, None
                ]
            elif mask is not None:
                mask = mask[batch.lengths.argmax()][None]
                size = mask.shape[-1]
                causal = bool(
                    (
                        (mask == 0)
                        == torch.ones(size, size, dtype=torch.bool, device=mask.device).tril()
                    ).all()
                )
                causal = causal and self.trace.calls[layer].softcap is None
            self._masks[layer] = None if causal else mask, causal
        return self._masks[layer]

    def mix(self, layer: int, q, k, v):
        """softmax(scale q k^T + mask) v for [source, batch, pos, head * d_head] parts -> [source,
        batch, query pos, head, d_head].
        """
        call, sources = self.trace.calls[layer], len(v)
        # [source, batch, head, pos, d_head]
        q, k, v = (
            part.unflatten(-1, (-1, self.model.d_head)).transpose(-2, -3) for part in (q, k, v)
        )
        if self.trace.rotary[layer] is not None:
            # [batch, pos, d_rotary]
            cos, sin = (part.expand(v.shape[1], -1, -1) for part in self.trace.rotary[layer])
            at = self.at(layer)
            q, k = (
                turn(q, pick(cos, at)[:, None], pick(sin, at)[:, None]),
                turn(k, cos[:, None], sin[:, None]),
            )
        mask, causal = self.mask(layer)
        if mask is not None and len(mask) > 1:
            mask = mask.repeat(sources, 1, 1, 1)
        z = attend(
            q.flatten(0, 1),
            k.flatten(0, 1),
            v.flatten(0, 1),
            mask,
            call.scale,
            call.softcap,
            causal=causal,
        )
        return z.transpose(1, 2).unflatten(0, (sources, -1))


def replay_error(model: Model, trace: Trace) -> float:
    """Largest difference between our reading of the model and its recorded pass, over all blocks
    and the readout's logits, relative to the largest value of each.
    """
    replay, at = Replay(model, trace, keep=False), trace.batch.readout

    def error(ours, theirs):
        return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30)).item()

    errors = []
    for layer in range(model.n_layers):
        totals, theirs = (
            replay.totals(layer),
            pick(trace.x[layer + 1], replay.at(layer)).to(trace.x[layer].device),
        )
        real = (
            trace.batch.real
            if replay.at(layer) is None
            else torch.ones_like(at, dtype=torch.bool)[:, None]
        )
        errors.append(error(totals.out[real.to(theirs.device)], theirs[real.to(theirs.device)]))
    with present(*model.architecture.end):
        x = plain(pick(trace.x[-1], at), model.architecture.final_norm)[:, 0]
        for step in model.architecture.head:
            x = step(x.to(step.weight.device)) if isinstance(step, Linear) else step(x)
    errors.append(error(x, trace.logits.to(x.device)))
    # unlike Python's max, it does not step over a NaN
    return torch.tensor(errors).max().item()


@dataclass
class Walk(Replay):
    """CD-T on one traced batch: `attention` is "softmax" or "frozen", `rules` names the rules."""

    attention: str = "softmax"
    rules: str = "paper"

    def __post_init__(self):
        super().__post_init__()
        # by norm: one over the total's deviation or rms, [batch, pos, 1]
        self._scales: dict = {}
        self.rule = RULES[self.rules]

    def norm(self, rel, total, norm: Norm | None):
        if norm is None:
            return rel
        if norm.module not in self._scales:
            self._scales[norm.module] = norm.scale(total)
        return self.rule.norm(rel, total, norm, self._scales[norm.module])

    def heads_norm_rel(self, x, norm: Norm | None, rel):
        """The relevant part behind the QK-norm of x, both [..., head * d_head]."""
        if norm is None:
            return rel
        return self.rule.norm(self.by_head(rel, norm), self.by_head(x, norm), norm).reshape(
            rel.shape
        )

    @loaded
    def source(self, layer: int, heads: list[int], mu, everywhere: bool = True, where=None):
        """rel behind block `layer` when its `heads`, one a source, are split into z - mu and mu.

        mu: [head, d_head], the means of these heads. `everywhere`: at every real position,
        otherwise at the readout only; `where`, [source, batch, pos] bool: only there. Returns
        [source, batch, query pos, d_model].
        """
        block, totals, batch, d = (
            self.model.blocks[layer],
            self.totals(layer),
            self.trace.batch,
            self.model.d_head,
        )
        mu = mu.to(totals.z.device)
        # [source, batch, query pos, d_head]
        rel_z = totals.z[..., heads, :].permute(2, 0, 1, 3) - mu[:, None, None]
        if self.at(layer) is None:
            split = (
                batch.real
                if everywhere
                else torch.arange(batch.ids.shape[1], device=batch.ids.device)
                == batch.readout[:, None]
            )
            rel_z = rel_z * split[..., None].to(rel_z.device)
        if where is not None:
            rel_z = rel_z * pick(where[..., None].to(rel_z), self.at(layer))
        # [source, d_head, d_model]
        columns = block.o.weight.unflatten(1, (-1, d))[:, heads].permute(1, 2, 0)
        out = torch.matmul(rel_z, columns[:, None])
        if block.o.bias is not None:
            out = add_share(out, out, totals.o - block.o.bias, block.o.bias)
        return self.mlp(layer, None, out)

    @loaded
    def heads(self, layer: int, rel_x):
        """rel of every head's z in a block, from rel of the residual stream: [source, batch, query
        pos, head, d_head].
        """
        block, totals = self.model.blocks[layer], self.totals(layer)
        n = self.norm(rel_x, totals.x, block.attn_norm)
        v = linear(n, totals.v, block.v)
        if self.attention == "frozen":
            q, k = (
                self.heads_norm(part, norm).expand(len(n), *part.shape)
                for part, norm in ((totals.q, block.q_norm), (totals.k, block.k_norm))
            )
        else:
            q = self.heads_norm_rel(
                totals.q, block.q_norm, linear(pick(n, self.at(layer)), totals.q, block.q)
            )
            k = self.heads_norm_rel(totals.k, block.k_norm, linear(n, totals.k, block.k))
        return self.mix(layer, q, k, v)

    @loaded
    def block(self, layer: int, rel_x, rel_z=None):
        """rel behind a block, from rel in front of it."""
        block, totals = self.model.blocks[layer], self.totals(layer)
        rel_x = rel_x.to(totals.x.device)
        rel_z = self.heads(layer, rel_x) if rel_z is None else rel_z
        return self.mlp(
            layer, pick(rel_x, self.at(layer)), linear(rel_z.flatten(-2), totals.o, block.o)
        )

    def mlp(self, layer: int, x, o):
        """The rest of a block, from rel of the residual stream (None: nothing of it is relevant
        yet) and of the attention's output.
        """
        block, totals, rule = self.model.blocks[layer], self.totals(layer), self.rule
        o = self.norm(o, totals.o, block.attn_post)
        mid = self.norm(o if x is None else o.add_(x), totals.add, block.attn_after)
        inner = x if block.parallel else mid
        if inner is None:
            # a parallel block's MLP does not see its own heads
            return rule.end(mid, totals.sum)
        n = self.norm(inner, totals.inner, block.mlp_norm)
        up = rule.clash(linear(n, totals.up, block.up, "up"), totals.up)
        if block.gate is None:
            hidden = rule.activation(up, totals.up, totals.hidden, block.act)
        else:
            gate = rule.clash(linear(n, totals.gate, block.gate, "gate"), totals.gate)
            hidden = rule.gated(gate, totals.gate, up, totals.up, totals.hidden, block.act)
        down = self.norm(
            rule.clash(linear(hidden, totals.down, block.down), totals.down),
            totals.down,
            block.mlp_post,
        )
        out = rule.end(down.add_(mid), totals.sum)
        return (
            out
            if block.mlp_after is None
            else rule.clash(self.norm(out, totals.sum, block.mlp_after), totals.out)
        )

    def logits(self, rel, tokens: list[int]):
        """rel of some logits at the readout, [source, batch, logit]; rel: [source, batch, 1,
        d_model] behind the last block.
        """
        architecture, total = self.model.architecture, self.totals(self.model.n_layers - 1).out
        with present(*architecture.end):
            rel, total = (
                self.norm(rel, total, architecture.final_norm),
                plain(total, architecture.final_norm),
            )
            return self.through(rel[..., 0, :], total[..., 0, :], tokens)

    def through(self, rel, total, tokens: list[int]):
        """The head: its linear maps, of the last the rows that are asked for, and what stands
        between and behind them.
        """
        head = self.model.architecture.head
        last = [step for step in head if isinstance(step, Linear)][-1]
        for step in head:
            if isinstance(step, Linear):
                layer = step.only(tokens) if step is last else step
                total = layer(total.to(layer.weight.device))
                rel = linear(rel.to(total.device), total, layer)
            else:
                hidden = step(total.clone())
                rel, total = self.rule.activation(rel, total, hidden, step), hidden
        return rel

    def to_logits(
        self, layer: int, heads: list[int], mu, tokens: list[int], everywhere: bool = True
    ):
        """The whole way from the sources to rel of the logits, [source, batch, logit]."""
        rel = self.source(layer, heads, mu, everywhere)
        for later in range(layer + 1, self.model.n_layers):
            rel = self.block(later, rel)
        return self.logits(rel, tokens)

    def to_heads(self, layer: int, heads: list[int], mu, targets, everywhere: bool = True):
        """rel of later heads' z at the readout: {target: [source, batch, d_head]} for the targets
        behind `layer`.
        """
        rel, found = self.source(layer, heads, mu, everywhere), {}
        last = max((target for target, _ in targets), default=0)
        for later in range(layer + 1, last + 1):
            # [source, batch, query pos, head, d_head]
            rel_z = self.heads(later, rel.to(self.trace.x[later].device))
            at = None if self.at(later) is not None else self.trace.batch.readout
            z = pick(rel_z.flatten(-2), at)[..., 0, :].unflatten(-1, (-1, self.model.d_head))
            found |= {(later, head): z[..., head, :] for target, head in targets if target == later}
            rel = self.block(later, rel, rel_z) if later < last else rel
        return found
