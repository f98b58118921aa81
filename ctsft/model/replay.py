"""A model's forward pass replayed block by block from the list of its modules, which proves the list."""

from dataclasses import dataclass
from functools import wraps

import torch

from ctsft.model.architecture import Linear, Norm, weights_loaded
from ctsft.model.forward import Trace, attend
from ctsft.model.model import Model


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


def apply_norm(x, norm: Norm | None):
    return x if norm is None else norm(x)


def select_positions(x, at):
    """[..., batch, pos, d] at one position of each text, [..., batch, 1, d]; everything when `at`
    is None.
    """
    if at is None:
        return x
    index = at.to(x.device).view(-1, 1, 1).expand(*x.shape[:-2], 1, x.shape[-1])
    return x.gather(-2, index)


def apply_rope(x, cos, sin):
    """RoPE (rotate-half) of [source, batch, head, pos, d_head] by angles [batch, 1, pos, d_rotary];
    further features stay.
    """
    d = cos.shape[-1]
    part, half = x[..., :d], d // 2
    out = part * cos
    out[..., :half].addcmul_(part[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(part[..., :half], sin[..., half:])
    return out if d == x.shape[-1] else torch.cat([out, x[..., d:]], -1)


def with_block_weights(step):
    """A step of the walk that needs the weights of the block it is at, wherever they are kept."""

    @wraps(step)
    def within(self, layer, *args, **words):
        with weights_loaded(self.model.blocks[layer].module):
            return step(self, layer, *args, **words)

    return within


@dataclass
class Replay:
    """One traced batch, block by block, as the list of a model's modules says; `keep` caches the
    totals of every block, not of the latest only.
    """

    model: Model
    trace: Trace
    keep_totals: bool = True

    def __post_init__(self):
        self._totals: dict[int, Totals] = {}
        self._masks: dict[int, tuple] = {}

    def query_positions(self, layer: int):
        """Positions the block's output is needed at: all (None), or in the last block each text's
        readout.
        """
        return self.trace.batch.readout if layer == self.model.n_layers - 1 else None

    def totals(self, layer: int) -> Totals:
        """Our own reading of a block, from the recorded residual stream that enters it."""
        if layer in self._totals:
            return self._totals[layer]
        if not self.keep_totals:
            # the latest block's only
            self._totals.clear()
        totals = self._totals[layer] = self.read(layer)
        return totals

    @with_block_weights
    def read(self, layer: int) -> Totals:
        block, x, at = self.model.blocks[layer], self.trace.x[layer], self.query_positions(layer)
        n = apply_norm(x, block.attn_norm)
        q, k, v = block.q(select_positions(n, at)), block.k(n), block.v(n)
        z = self.mix(
            layer,
            *(
                part[None]
                for part in (self.qk_norm(q, block.q_norm), self.qk_norm(k, block.k_norm), v)
            ),
        )[0]
        o = block.o(z.flatten(-2))
        start = select_positions(x, at)
        add = start + apply_norm(o, block.attn_post)
        mid = apply_norm(add, block.attn_after)
        inner = start if block.parallel else mid
        m = apply_norm(inner, block.mlp_norm)
        up, gate = block.up(m), block.gate and block.gate(m)
        hidden = block.act(up.clone()) if gate is None else block.act(gate.clone()) * up
        down = block.down(hidden)
        total = mid + apply_norm(down, block.mlp_post)
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
            apply_norm(total, block.mlp_after),
        )

    def per_head(self, x, norm: Norm):
        """[..., head * d_head] as [..., head, d_head] where the norm is of each head by itself."""
        single = norm.gain.numel() == self.model.d_head
        return x.unflatten(-1, (-1, self.model.d_head)) if single else x

    def qk_norm(self, x, norm: Norm | None):
        """QK-norm of [..., head * d_head], of each head or of all together by the gain's length."""
        if norm is None:
            return x
        parts = self.per_head(x, norm)
        return norm(parts).reshape(x.shape)

    def mask(self, layer: int) -> tuple[torch.Tensor | None, bool]:
        """The mask in its smallest form, [batch or 1, 1, query pos or 1, pos], and whether it is
        plainly causal (then None).

        Under a causal mask no real position sees padding, so the longest text's mask serves all.
        """
        if layer not in self._masks:
            mask, batch, at = (
                self.trace.calls[layer].mask,
                self.trace.batch,
                self.query_positions(layer),
            )
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
            at = self.query_positions(layer)
            q, k = (
                apply_rope(
                    q, select_positions(cos, at)[:, None], select_positions(sin, at)[:, None]
                ),
                apply_rope(k, cos[:, None], sin[:, None]),
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
    replay, at = Replay(model, trace, keep_totals=False), trace.batch.readout

    def error(ours, theirs):
        return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30)).item()

    errors = []
    for layer in range(model.n_layers):
        totals, theirs = (
            replay.totals(layer),
            select_positions(trace.x[layer + 1], replay.query_positions(layer)).to(
                trace.x[layer].device
            ),
        )
        real = (
            trace.batch.real
            if replay.query_positions(layer) is None
            else torch.ones_like(at, dtype=torch.bool)[:, None]
        )
        errors.append(error(totals.out[real.to(theirs.device)], theirs[real.to(theirs.device)]))
    with weights_loaded(*model.architecture.output_modules):
        x = apply_norm(select_positions(trace.x[-1], at), model.architecture.final_norm)[:, 0]
        for step in model.architecture.head:
            x = step(x.to(step.weight.device)) if isinstance(step, Linear) else step(x)
    errors.append(error(x, trace.logits.to(x.device)))
    # unlike Python's max, it does not step over a NaN
    return torch.tensor(errors).max().item()
