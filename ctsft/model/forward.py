"""One forward pass of the untouched Hugging Face model, recorded, and edited where asked.

Every model runs with an attention function of ours, registered with transformers: it computes what
`sdpa` computes and lets a *tap* see, and replace, the heads' outputs z before the output
projection. Texts are padded on the right, so under a causal mask no real position ever sees
padding.
"""

import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import torch
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from ctsft.model.batching import Batch

ATTENTION = "ctsft"

# of this thread's forward pass only
_tap: ContextVar[Callable | None] = ContextVar("tap", default=None)


@dataclass(frozen=True)
class AttentionCall:
    """What one attention module handed over: queries and keys after RoPE."""

    module: torch.nn.Module
    query: torch.Tensor  # [batch, head, pos, d_head]
    key: torch.Tensor  # [batch, kv_head, pos, d_head]
    # [batch, 1, pos, pos], added to the logits; None: every position sees every other
    mask: torch.Tensor | None
    scale: float
    # logits are cap * tanh(logits / cap) before the mask (Gemma 2)
    softcap: float | None = None


def attend(
    query,
    key,
    value,
    mask,
    scale: float,
    softcap: float | None = None,
    dropout: float = 0.0,
    causal: bool = False,
):
    """softmax(scale q k^T + mask) v, [batch, head, pos, d_head]; key/value heads serve their whole
    group.
    """
    if softcap is None:
        return F.scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=causal, scale=scale, enable_gqa=True
        )
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    logits = torch.tanh(query @ key.transpose(-1, -2) * (scale / softcap)) * softcap
    weights = torch.softmax(logits if mask is None else logits + mask, -1)
    return F.dropout(weights, dropout, training=dropout > 0) @ value


def _attention(
    module, query, key, value, attention_mask, scaling=None, dropout=0.0, softcap=None, **_
):
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    # [batch, pos, head, d_head]
    z = attend(query, key, value, attention_mask, scale, softcap, dropout).transpose(1, 2)
    tap = _tap.get()
    if tap is not None:
        z = tap(AttentionCall(module, query, key, attention_mask, scale, softcap), z)
    return z.contiguous(), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)


@contextmanager
def tapped(tap: Callable[[AttentionCall, torch.Tensor], torch.Tensor]):
    """Within, `tap(call, z)` sees every attention module's z and returns what the model goes on
    with.
    """
    token = _tap.set(tap)
    try:
        yield
    finally:
        _tap.reset(token)


def readout_logits(hf, batch: Batch) -> torch.Tensor:
    """Logits at each text's readout, [batch, vocab or class]; no other position's are computed."""
    inputs = {"input_ids": batch.ids, "attention_mask": batch.real.long()}
    if batch.reads_first:
        return hf(**inputs).logits
    if hasattr(hf, "score"):
        # a decoder's classes: read at the last real position, whatever the padding's token is
        hidden = hf.base_model(**inputs, use_cache=False).last_hidden_state
        return hf.score(
            hidden[torch.arange(len(hidden), device=hidden.device), batch.readout.to(hidden.device)]
        )
    with narrowed(hf.get_output_embeddings(), batch.readout):
        # [batch, vocab]
        return hf(**inputs, use_cache=False).logits[:, 0]


@contextmanager
def narrowed(module, at):
    """Within, `module` gets one position of each text only, [batch, 1, d], in this thread's
    passes.
    """
    thread = threading.get_ident()

    def only(_, args):
        x = args[0]
        return (
            (x[torch.arange(len(x), device=x.device), at.to(x.device)][:, None],)
            if threading.get_ident() == thread
            else None
        )

    hook = module.register_forward_pre_hook(only)
    try:
        yield
    finally:
        hook.remove()


@dataclass
class Trace:
    """The recorded pass of one batch. Lists run over layers."""

    batch: Batch
    # [batch, pos, d_model], into each block, and out of the last
    x: list[torch.Tensor] = field(default_factory=list)
    # [batch, pos, head, d_head]
    z: list[torch.Tensor] = field(default_factory=list)
    calls: list[AttentionCall] = field(default_factory=list)
    # (cos, sin), [batch, pos, d_rotary]
    rotary: list[tuple | None] = field(default_factory=list)
    # [batch, vocab], at the readout
    logits: torch.Tensor | None = None
    # what a reader should know of how it came about
    notes: list[str] = field(default_factory=list)


class Enough(Exception):
    """A pass has come to the block where it is to end."""


@contextmanager
def ended(module: torch.nn.Module | None):
    """Within, this thread's pass ends in front of that block; yields a list that gets what it would
    have read. None: no end.
    """
    thread, found = threading.get_ident(), []

    def end(_, args, kwargs):
        if threading.get_ident() == thread:
            found.append(args[0] if args else kwargs["hidden_states"])
            raise Enough

    hook = module.register_forward_pre_hook(end, with_kwargs=True) if module is not None else None
    try:
        with suppress(Enough):
            yield found
    finally:
        if hook:
            hook.remove()


def record(model, batch: Batch, lean: bool = False, blocks: int | None = None) -> Trace:
    """Run the model on a batch and keep residual streams, heads' outputs, masks and positions;
    `lean`: no z, queries and keys.
    `blocks`: of the first ones only.
    """
    trace = Trace(batch)

    def keep_z(call, z):
        trace.calls.append(replace(call, query=None, key=None) if lean else call)
        if not lean:
            trace.z.append(z)
        return z

    def keep_x(module, args, kwargs):
        trace.x.append(args[0] if args else kwargs["hidden_states"])

    def keep_end(module, args, output):
        trace.x.append(output[0] if isinstance(output, tuple) else output)

    def keep_rotary(module, args, kwargs):
        trace.rotary.append(kwargs.get("position_embeddings"))

    hooks = [
        block.module.register_forward_pre_hook(keep_x, with_kwargs=True) for block in model.blocks
    ]
    hooks += [
        block.attention.register_forward_pre_hook(keep_rotary, with_kwargs=True)
        for block in model.blocks
    ]
    hooks.append(model.blocks[-1].module.register_forward_hook(keep_end))
    try:
        with tapped(keep_z), ended(model.blocks[blocks].module if blocks else None):
            trace.logits = readout_logits(model.hf, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def attention_pattern(trace: Trace, layer: int) -> torch.Tensor:
    """Attention pattern of every head, [batch, head, query pos, key pos]."""
    call = trace.calls[layer]
    whole = torch.eye(call.key.shape[2], dtype=call.query.dtype, device=call.query.device).expand(
        *call.key.shape[:2], -1, -1
    )
    return attend(call.query, call.key, whole, call.mask, call.scale, call.softcap)
