"""Contextual decomposition of a transformer (CD-T, arXiv 2407.00886, section 3): the rules applied
from a head to the logits, or to later heads.

The totals are the same for every source, so only one stream is propagated, `rel`, for many heads
and examples at a time. After the last attention only the readout position matters, so pos is 1
there. Shapes: rel is [source, batch, pos, ...], totals are [batch, pos, ...].
"""

from dataclasses import dataclass

import torch

from ctsft.attribution.cdt_rules import RULES, add_share, linear, product, share_and_clash
from ctsft.attribution.means import position_mask
from ctsft.attribution.scores import Head
from ctsft.model.activations import pieces
from ctsft.model.architecture import Linear, Norm, weights_loaded
from ctsft.model.replay import Replay, apply_norm, select_positions, with_block_weights


@dataclass
class Propagation(Replay):
    """CD-T on one recorded batch: `attention` is "softmax" (the pattern is decomposed) or "frozen"
    (it is not); `rules` is a name of `cdt_rules.RULES`.
    """

    attention: str = "softmax"
    rules: str = "paper"

    def __post_init__(self):
        super().__post_init__()
        # by norm: one over the total's deviation or rms, [batch, pos, 1]
        self._scales: dict = {}
        self.rule = RULES[self.rules]

    def norm(self, rel, total, norm: Norm | None):
        """rel after a norm, whose input is `total`; None: there is no norm here."""
        if norm is None:
            return rel
        if norm.module not in self._scales:
            self._scales[norm.module] = norm.scale(total)
        return self.rule.norm(rel, total, norm, self._scales[norm.module])

    def qk_norm_rel(self, rel, total, norm: Norm | None):
        """rel after the QK-norm of queries or keys, both [..., head * d_head]."""
        if norm is None:
            return rel
        by_head = self.rule.norm(self.per_head(rel, norm), self.per_head(total, norm), norm)
        return by_head.reshape(rel.shape)

    @with_block_weights
    def from_heads(
        self, layer: int, heads: list[int], mu, positions: str | None = "all", only_at=None
    ):
        """rel after block `layer` when its `heads`, one a source, are split into z - mu and mu.

        mu: [head, d_head], the means of these heads. `positions`: "all" real ones or the "readout"
        alone; `only_at`, [source, batch, pos] bool: there only. Returns [source, batch, query pos,
        d_model].
        """
        block, totals = self.model.blocks[layer], self.totals(layer)
        mu = mu.to(totals.z.device)
        # [source, batch, query pos, d_head]
        rel_z = totals.z[..., heads, :].permute(2, 0, 1, 3) - mu[:, None, None]
        if self.query_positions(layer) is None:
            mask = position_mask(self.trace.batch, positions)
            rel_z = rel_z * mask[..., None].to(rel_z.device)
        if only_at is not None:
            mask = only_at[..., None].to(rel_z)
            rel_z = rel_z * select_positions(mask, self.query_positions(layer))
        # [source, d_head, d_model]
        columns = block.o.weight.unflatten(1, (-1, self.model.d_head))[:, heads].permute(1, 2, 0)
        out = torch.matmul(rel_z, columns[:, None])
        if block.o.bias is not None:
            out = add_share(out, out, totals.o - block.o.bias, block.o.bias)
        return self.after_attention(layer, None, out)

    @with_block_weights
    def heads(self, layer: int, rel_x):
        """rel of every head's z in a block, from rel of the residual stream before it: [source,
        batch, query pos, head, d_head].
        """
        block, totals = self.model.blocks[layer], self.totals(layer)
        n = self.norm(rel_x, totals.x, block.attn_norm)
        v = linear(n, totals.v, block.v)
        if self.attention == "frozen":
            q, k = (
                self.qk_norm(total, norm).expand(len(n), *total.shape)
                for total, norm in ((totals.q, block.q_norm), (totals.k, block.k_norm))
            )
        else:
            at_queries = select_positions(n, self.query_positions(layer))
            q = self.qk_norm_rel(linear(at_queries, totals.q, block.q), totals.q, block.q_norm)
            k = self.qk_norm_rel(linear(n, totals.k, block.k), totals.k, block.k_norm)
        return self.mix(layer, q, k, v)

    @with_block_weights
    def block(self, layer: int, rel_x, rel_z=None):
        """rel after a block, from rel before it; `rel_z`: what `heads` returns, if it is known."""
        block, totals = self.model.blocks[layer], self.totals(layer)
        rel_x = rel_x.to(totals.x.device)
        rel_z = self.heads(layer, rel_x) if rel_z is None else rel_z
        rel_x = select_positions(rel_x, self.query_positions(layer))
        return self.after_attention(layer, rel_x, linear(rel_z.flatten(-2), totals.o, block.o))

    def after_attention(self, layer: int, rel_x, rel_o):
        """rel after a block, from rel of the residual stream before it (None: nothing of it is
        relevant yet) and of the attention's output.
        """
        block, totals, rule = self.model.blocks[layer], self.totals(layer), self.rule
        rel_o = self.norm(rel_o, totals.o, block.attn_post)
        added = rel_o if rel_x is None else rel_o.add_(rel_x)
        mid = self.norm(added, totals.add, block.attn_after)
        inner = rel_x if block.parallel else mid
        if inner is None:
            # the MLP of a parallel block does not read the block's heads
            return rule.end(mid, totals.sum)
        out = rule.end(self.mlp(layer, inner).add_(mid), totals.sum)
        if block.mlp_after is None:
            return out
        return rule.clash(self.norm(out, totals.sum, block.mlp_after), totals.out)

    def mlp(self, layer: int, rel):
        """rel of an MLP's output, from rel of the residual stream that it reads."""
        block, totals, rule = self.model.blocks[layer], self.totals(layer), self.rule
        n = self.norm(rel, totals.inner, block.mlp_norm)
        up = product(n, block.up, "up")
        gate = None if block.gate is None else product(n, block.gate, "gate")
        hidden = self.hidden(layer, up, gate)
        down = rule.clash(linear(hidden, totals.down, block.down), totals.down)
        return self.norm(down, totals.down, block.mlp_post)

    def hidden(self, layer: int, up, gate):
        """rel of an MLP's hidden layer, from the products of its one or two input maps, both
        [source, batch, query pos, d_mlp]; in their place, piece by piece.
        """
        block, totals, rule = self.model.blocks[layer], self.totals(layer), self.rule
        out = up if gate is None else gate
        for piece in pieces(out):
            every = (slice(None), *piece)
            rel_up, total_up, hidden = up[every], totals.up[piece], totals.hidden[piece]
            share_and_clash(rel_up, total_up, block.up, rule)
            if gate is None:
                part = rule.activation(rel_up, total_up, hidden, block.act)
            else:
                rel_gate, total_gate = gate[every], totals.gate[piece]
                share_and_clash(rel_gate, total_gate, block.gate, rule)
                part = rule.gated(rel_gate, total_gate, rel_up, total_up, hidden, block.act)
            if part.data_ptr() != out[every].data_ptr():  # the rule does not work in place
                out[every] = part
        return out

    def logits(self, rel, tokens: list[int]):
        """rel of some logits at the readout, [source, batch, logit]; rel: [source, batch, 1,
        d_model] after the last block.
        """
        architecture = self.model.architecture
        total = self.totals(self.model.n_layers - 1).out
        with weights_loaded(*architecture.output_modules):
            rel = self.norm(rel, total, architecture.final_norm)
            total = apply_norm(total, architecture.final_norm)
            return self.output_head(rel[..., 0, :], total[..., 0, :], tokens)

    def output_head(self, rel, total, tokens: list[int]):
        """rel of some logits, from rel [source, batch, d_model] before the output head: its linear
        maps (only the rows of `tokens` of the last one) and the functions between and after them.
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
                rel = self.rule.activation(rel, total, hidden, step)
                total = hidden
        return rel

    def to_logits(
        self, layer: int, heads: list[int], mu, tokens: list[int], positions: str | None = "all"
    ):
        """From heads of a layer to rel of the logits, [source, batch, logit]."""
        rel = self.from_heads(layer, heads, mu, positions)
        for later in range(layer + 1, self.model.n_layers):
            rel = self.block(later, rel)
        return self.logits(rel, tokens)

    def to_heads(
        self,
        layer: int,
        heads: list[int],
        mu,
        targets: tuple[Head, ...],
        positions: str | None = "all",
    ) -> dict[Head, torch.Tensor]:
        """From heads of a layer to rel of later heads' z at the readout: {target: [source, batch,
        d_head]} for the targets in later layers.
        """
        rel, rel_of_target = self.from_heads(layer, heads, mu, positions), {}
        last = max((target_layer for target_layer, _ in targets), default=0)
        for later in range(layer + 1, last + 1):
            # [source, batch, query pos, head, d_head]
            rel_z = self.heads(later, rel.to(self.trace.x[later].device))
            at = None if self.query_positions(later) is not None else self.trace.batch.readout
            z = select_positions(rel_z.flatten(-2), at)[..., 0, :]
            z = z.unflatten(-1, (-1, self.model.d_head))
            rel_of_target |= {
                (later, head): z[..., head, :]
                for target_layer, head in targets
                if target_layer == later
            }
            if later < last:
                rel = self.block(later, rel, rel_z)
        return rel_of_target
