"""A model's forward pass, computed again block by block from the list of its modules.

`replay_error` compares it with the recorded pass of the Hugging Face model: if they differ, the
list is wrong. CD-T (`ctsft.attribution.cdt`) extends the replay by a relevant part.
"""

from dataclasses import dataclass, replace
from functools import wraps

import torch

from ctsft.model.architecture import Linear, Norm, weights_loaded
from ctsft.model.attention import attend
from ctsft.model.forward import Trace
from ctsft.model.model import Model


@dataclass(frozen=True)
class Totals:
    """The activations inside one block, undivided (every source of CD-T shares them). "query pos"
    is pos, and in the last block the readout alone.
    """

    x: torch.Tensor  # the residual stream before the block, [batch, pos, d_model]
    q: torch.Tensor  # before QK-norm and RoPE, [batch, query pos, head * d_head]
    k: torch.Tensor  # likewise, [batch, pos, kv_head * d_head]
    v: torch.Tensor  # [batch, pos, kv_head * d_head]
    z: torch.Tensor  # [batch, query pos, head, d_head]
    o: torch.Tensor  # [batch, query pos, d_model]
    add: torch.Tensor  # x plus the attention's output
    mid: torch.Tensor  # `add` after the norm that follows the addition, if there is one
    inner: torch.Tensor  # the residual stream that the MLP half reads
    gate: torch.Tensor | None  # [batch, query pos, d_mlp]
    up: torch.Tensor  # [batch, query pos, d_mlp]
    hidden: torch.Tensor  # act(up), or act(gate) * up
    down: torch.Tensor  # [batch, query pos, d_model]
    sum: torch.Tensor  # `mid` plus the MLP's output
    out: torch.Tensor  # `sum` after the norm that follows the addition, if there is one


def apply_norm(x, norm: Norm | None):
    return x if norm is None else norm(x)


def select_positions(x, at):
    """[..., batch, pos, d] at one position of each text: [..., batch, 1, d]; at: [batch], or None
    for all of x.
    """
    if at is None:
        return x
    index = at.to(x.device).view(-1, 1, 1).expand(*x.shape[:-2], 1, x.shape[-1])
    return x.gather(-2, index)


def apply_rope(x, cos, sin):
    """RoPE (rotate-half form; RoFormer, arXiv 2104.09864) of [source, batch, head, pos, d_head] by
    angles [batch, 1, pos, d_rotary]; features after the first d_rotary are not rotated.
    """
    d_rotary = cos.shape[-1]
    half = d_rotary // 2
    rotated = x[..., :d_rotary]
    out = rotated * cos
    out[..., :half].addcmul_(rotated[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(rotated[..., :half], sin[..., half:])
    return out if d_rotary == x.shape[-1] else torch.cat([out, x[..., d_rotary:]], -1)


def with_block_weights(step):
    """Decorates a method `step(self, layer, ...)` that needs the weights of that layer's block,
    offloaded or not.
    """

    @wraps(step)
    def wrapped(self, layer, *args, **options):
        with weights_loaded(self.model.blocks[layer].module):
            return step(self, layer, *args, **options)

    return wrapped


@dataclass
class Replay:
    """One recorded batch, computed again from the list of a model's modules. `keep_totals`: store
    the totals of every block, not only of the latest one.
    """

    model: Model
    trace: Trace
    keep_totals: bool = True

    def __post_init__(self):
        self._totals: dict[int, Totals] = {}
        self._masks: dict[int, tuple] = {}

    def query_positions(self, layer: int) -> torch.Tensor | None:
        """Positions at which the block's output is needed: all (None), or in the last block each
        text's readout, [batch].
        """
        return self.trace.batch.readout if layer == self.model.n_layers - 1 else None

    def totals(self, layer: int) -> Totals:
        """The activations of a block, computed from the recorded residual stream before it."""
        if layer not in self._totals:
            if not self.keep_totals:
                self._totals.clear()
            self._totals[layer] = self.compute_totals(layer)
        return self._totals[layer]

    @with_block_weights
    def compute_totals(self, layer: int) -> Totals:
        block, x, at = self.model.blocks[layer], self.trace.x[layer], self.query_positions(layer)
        normed = apply_norm(x, block.attn_norm)
        q = block.q(select_positions(normed, at))
        k = block.k(normed)
        v = block.v(normed)
        parts = (self.qk_norm(q, block.q_norm), self.qk_norm(k, block.k_norm), v)
        z = self.mix(layer, *(part[None] for part in parts))[0]
        o = block.o(z.flatten(-2))
        start = select_positions(x, at)
        add = start + apply_norm(o, block.attn_post)
        mid = apply_norm(add, block.attn_after)
        inner = start if block.parallel else mid
        normed = apply_norm(inner, block.mlp_norm)
        up = block.up(normed)
        gate = block.gate and block.gate(normed)
        hidden = block.act(up.clone()) if gate is None else block.act(gate.clone()) * up
        down = block.down(hidden)
        total = mid + apply_norm(down, block.mlp_post)
        return Totals(
            x=x,
            q=q,
            k=k,
            v=v,
            z=z,
            o=o,
            add=add,
            mid=mid,
            inner=inner,
            gate=gate,
            up=up,
            hidden=hidden,
            down=down,
            sum=total,
            out=apply_norm(total, block.mlp_after),
        )

    def per_head(self, x, norm: Norm):
        """[..., head * d_head] as [..., head, d_head], if the norm is over each head by itself."""
        over_head = norm.gain.numel() == self.model.d_head
        return x.unflatten(-1, (-1, self.model.d_head)) if over_head else x

    def qk_norm(self, x, norm: Norm | None):
        """QK-norm of [..., head * d_head]: over each head, or over all heads together; the length
        of the gain tells which.
        """
        if norm is None:
            return x
        return norm(self.per_head(x, norm)).reshape(x.shape)

    def mask(self, layer: int) -> tuple[torch.Tensor | None, bool]:
        """The block's mask in its smallest form, [batch or 1, 1, query pos or 1, pos], and whether
        it is simply causal (the mask is None then).

        Under a causal mask no real position sees padding, so the longest text's mask serves all.
        """
        if layer not in self._masks:
            self._masks[layer] = self.smallest_mask(layer)
        return self._masks[layer]

    def smallest_mask(self, layer: int) -> tuple[torch.Tensor | None, bool]:
        call, batch, at = self.trace.calls[layer], self.trace.batch, self.query_positions(layer)
        mask = call.mask
        if mask is None:
            return None, False
        if batch.reads_first:
            # all queries of an encoder see the same positions: the real ones
            return mask[:, :, :1], False
        if at is not None:
            texts = torch.arange(len(at), device=mask.device)
            return mask[texts, :, at.to(mask.device)][:, :, None], False
        mask = mask[batch.lengths.argmax()][None]
        size = mask.shape[-1]
        causal = torch.ones(size, size, dtype=torch.bool, device=mask.device).tril()
        if call.softcap is None and bool(((mask == 0) == causal).all()):
            return None, True
        return mask, False

    def mix(self, layer: int, q, k, v):
        """softmax(scale q k^T + mask) v of [source, batch, pos, head * d_head] parts, RoPE
        included: [source, batch, query pos, head, d_head].
        """
        sources = len(v)
        # [source, batch, head, pos, d_head]
        q, k, v = (
            part.unflatten(-1, (-1, self.model.d_head)).transpose(-2, -3) for part in (q, k, v)
        )
        if self.trace.rotary[layer] is not None:
            # [batch, pos, d_rotary]
            cos, sin = (part.expand(v.shape[1], -1, -1) for part in self.trace.rotary[layer])
            at = self.query_positions(layer)
            q = apply_rope(
                q, select_positions(cos, at)[:, None], select_positions(sin, at)[:, None]
            )
            k = apply_rope(k, cos[:, None], sin[:, None])
        mask, causal = self.mask(layer)
        if mask is not None and len(mask) > 1:
            mask = mask.repeat(sources, 1, 1, 1)
        call = self.trace.calls[layer]
        call = replace(call, query=q.flatten(0, 1), key=k.flatten(0, 1), mask=mask)
        z = attend(call, v.flatten(0, 1), causal=causal)
        return z.transpose(1, 2).unflatten(0, (sources, -1))


def replay_error(model: Model, trace: Trace) -> float:
    """The largest difference between the replay and the recorded pass, over the outputs of all
    blocks and the logits at the readout, each relative to its largest value. NaN if any is NaN.
    """
    replay = Replay(model, trace, keep_totals=False)
    errors = []
    for layer in range(model.n_layers):
        replayed = replay.totals(layer).out
        recorded = trace.x[layer + 1].to(replayed.device)
        at = replay.query_positions(layer)
        if at is None:
            real = trace.batch.real.to(replayed.device)
            errors.append(relative_error(replayed[real], recorded[real]))
        else:
            errors.append(relative_error(replayed, select_positions(recorded, at)))
    logits = output_logits(model, trace)
    errors.append(relative_error(logits, trace.logits.to(logits.device)))
    # torch's maximum of values with a NaN is NaN; Python's may not be
    return torch.tensor(errors).max().item()


def relative_error(replayed: torch.Tensor, recorded: torch.Tensor) -> float:
    difference = (replayed - recorded).abs().max()
    return (difference / recorded.abs().max().clamp(min=1e-30)).item()


def output_logits(model: Model, trace: Trace) -> torch.Tensor:
    """Logits at the readout, [batch, vocab], by the model's head from the last residual stream."""
    architecture = model.architecture
    with weights_loaded(*architecture.output_modules):
        x = select_positions(trace.x[-1], trace.batch.readout)
        x = apply_norm(x, architecture.final_norm)[:, 0]
        for step in architecture.head:
            x = step(x.to(step.weight.device)) if isinstance(step, Linear) else step(x)
    return x
