"""Contextual decomposition of a transformer (CD-T, arXiv 2407.00886): the walk that applies the
rules from a head to the logits.

The totals are shared by every source, so one stream, `rel`, is propagated for many heads and
examples at a time. Past the last attention only the readout position matters, so pos is 1 there.
Shapes: rel is [source, batch, pos, ...].
"""

from dataclasses import dataclass

import torch

from ctsft.attribution.cdt_rules import RULES, add_share, linear
from ctsft.model.architecture import Linear, Norm, weights_loaded
from ctsft.model.replay import Replay, apply_norm, select_positions, with_block_weights


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

    def qk_norm_rel(self, x, norm: Norm | None, rel):
        """The relevant part behind the QK-norm of x, both [..., head * d_head]."""
        if norm is None:
            return rel
        return self.rule.norm(self.per_head(rel, norm), self.per_head(x, norm), norm).reshape(
            rel.shape
        )

    @with_block_weights
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
        if self.query_positions(layer) is None:
            split = (
                batch.real
                if everywhere
                else torch.arange(batch.ids.shape[1], device=batch.ids.device)
                == batch.readout[:, None]
            )
            rel_z = rel_z * split[..., None].to(rel_z.device)
        if where is not None:
            rel_z = rel_z * select_positions(
                where[..., None].to(rel_z), self.query_positions(layer)
            )
        # [source, d_head, d_model]
        columns = block.o.weight.unflatten(1, (-1, d))[:, heads].permute(1, 2, 0)
        out = torch.matmul(rel_z, columns[:, None])
        if block.o.bias is not None:
            out = add_share(out, out, totals.o - block.o.bias, block.o.bias)
        return self.mlp(layer, None, out)

    @with_block_weights
    def heads(self, layer: int, rel_x):
        """rel of every head's z in a block, from rel of the residual stream: [source, batch, query
        pos, head, d_head].
        """
        block, totals = self.model.blocks[layer], self.totals(layer)
        n = self.norm(rel_x, totals.x, block.attn_norm)
        v = linear(n, totals.v, block.v)
        if self.attention == "frozen":
            q, k = (
                self.qk_norm(part, norm).expand(len(n), *part.shape)
                for part, norm in ((totals.q, block.q_norm), (totals.k, block.k_norm))
            )
        else:
            q = self.qk_norm_rel(
                totals.q,
                block.q_norm,
                linear(select_positions(n, self.query_positions(layer)), totals.q, block.q),
            )
            k = self.qk_norm_rel(totals.k, block.k_norm, linear(n, totals.k, block.k))
        return self.mix(layer, q, k, v)

    @with_block_weights
    def block(self, layer: int, rel_x, rel_z=None):
        """rel behind a block, from rel in front of it."""
        block, totals = self.model.blocks[layer], self.totals(layer)
        rel_x = rel_x.to(totals.x.device)
        rel_z = self.heads(layer, rel_x) if rel_z is None else rel_z
        return self.mlp(
            layer,
            select_positions(rel_x, self.query_positions(layer)),
            linear(rel_z.flatten(-2), totals.o, block.o),
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
        with weights_loaded(*architecture.output_modules):
            rel, total = (
                self.norm(rel, total, architecture.final_norm),
                apply_norm(total, architecture.final_norm),
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
                layer = step.select(tokens) if step is last else step
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
            at = None if self.query_positions(later) is not None else self.trace.batch.readout
            z = select_positions(rel_z.flatten(-2), at)[..., 0, :].unflatten(
                -1, (-1, self.model.d_head)
            )
            found |= {(later, head): z[..., head, :] for target, head in targets if target == later}
            rel = self.block(later, rel, rel_z) if later < last else rel
        return found
