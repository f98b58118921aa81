"""One forward pass of the untouched Hugging Face model, recorded, and edited where asked.

Every model runs with an attention function of ours, registered with transformers: it computes what `sdpa` computes and
lets a *tap* see, and replace, the heads' outputs z before the output projection. Texts are padded on the right, so
under a causal mask no real position ever sees padding.
"""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

ATTENTION = "ctsft"
BATCH_TOKENS = 4096
_tap: ContextVar[Callable | None] = ContextVar("tap", default=None)   # of this thread's forward pass only


@dataclass(frozen=True)
class AttentionCall:
    """What one attention module handed over: queries and keys after RoPE."""
    module: torch.nn.Module
    query: torch.Tensor            # [batch, head, pos, d_head]
    key: torch.Tensor              # [batch, kv_head, pos, d_head]
    mask: torch.Tensor | None      # [batch, 1, pos, pos], added to the logits
    scale: float


def _attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **_):
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    z = F.scaled_dot_product_attention(query, key, value, attention_mask, dropout, scale=scale, enable_gqa=True)
    z = z.transpose(1, 2)                                              # [batch, pos, head, d_head]
    tap = _tap.get()
    if tap is not None:
        z = tap(AttentionCall(module, query, key, attention_mask, scale), z)
    return z.contiguous(), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)


@contextmanager
def tapped(tap: Callable[[AttentionCall, torch.Tensor], torch.Tensor]):
    """Within, `tap(call, z)` sees every attention module's z and returns what the model goes on with."""
    token = _tap.set(tap)
    try:
        yield
    finally:
        _tap.reset(token)


@dataclass(frozen=True)
class Batch:
    """Texts of nearly equal length, padded on the right."""
    index: list[int]               # which rows of the list that was packed
    ids: torch.Tensor              # [batch, pos]
    lengths: torch.Tensor          # [batch]

    @property
    def real(self) -> torch.Tensor:                                    # [batch, pos] bool
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]

    @property
    def readout(self) -> torch.Tensor:                                 # [batch]: the last real position
        return self.lengths - 1


def pack(encoded: list[list[int]], device, batch_tokens: int = BATCH_TOKENS, padding: float = 0.05) -> Iterator[Batch]:
    """Batches of at most `batch_tokens` tokens (one text at least) and at most that share of padding, shortest texts first."""
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    group: list[int] = []
    for i in order:
        tokens, width = sum(len(encoded[j]) for j in group) + len(encoded[i]), len(encoded[i])
        area = (len(group) + 1) * width
        if group and (area > batch_tokens or area - tokens > padding * area):
            yield pad([encoded[j] for j in group], device, group)
            group = []
        group.append(i)
    if group:
        yield pad([encoded[j] for j in group], device, group)


def pad(encoded: list[list[int]], device, index: list[int] | None = None) -> Batch:
    """One batch; the padding's token id is 0, which nothing reads."""
    width = max(map(len, encoded))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in encoded], device=device)
    return Batch(index or list(range(len(encoded))), ids, torch.tensor([len(row) for row in encoded], device=device))


def readout_logits(hf, batch: Batch) -> torch.Tensor:
    """Logits at each text's readout, [batch, vocab]; the others are never computed."""
    keep, where = batch.readout.unique(return_inverse=True)
    logits = hf(input_ids=batch.ids, attention_mask=batch.real.long(), use_cache=False, logits_to_keep=keep).logits  # [batch, kept, vocab]
    return logits[torch.arange(len(where), device=where.device), where]


@dataclass
class Trace:
    """The recorded pass of one batch. Lists run over layers."""
    batch: Batch
    x: list[torch.Tensor] = field(default_factory=list)               # [batch, pos, d_model], into each block, and out of the last
    z: list[torch.Tensor] = field(default_factory=list)               # [batch, pos, head, d_head]
    calls: list[AttentionCall] = field(default_factory=list)
    rotary: list[tuple | None] = field(default_factory=list)          # (cos, sin), [batch, pos, d_rotary]
    logits: torch.Tensor | None = None                                 # [batch, vocab], at the readout


def record(model, batch: Batch) -> Trace:
    """Run the model on a batch and keep residual streams, heads' outputs, masks and positions."""
    trace = Trace(batch)

    def keep_z(call, z):
        trace.calls.append(call)
        trace.z.append(z)
        return z

    def keep_x(module, args, kwargs):
        trace.x.append(args[0] if args else kwargs["hidden_states"])

    def keep_rotary(module, args, kwargs):
        trace.rotary.append(kwargs.get("position_embeddings"))

    hooks = [block.module.register_forward_pre_hook(keep_x, with_kwargs=True) for block in model.blocks]
    hooks += [block.attention.register_forward_pre_hook(keep_rotary, with_kwargs=True) for block in model.blocks]
    hooks.append(model.architecture.final_norm.module.register_forward_pre_hook(keep_x, with_kwargs=True))
    try:
        with tapped(keep_z):
            trace.logits = readout_logits(model.hf, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def pattern(trace: Trace, layer: int) -> torch.Tensor:
    """Attention pattern of every head, [batch, head, query pos, key pos]."""
    call = trace.calls[layer]
    key = call.key.repeat_interleave(call.query.shape[1] // call.key.shape[1], dim=1)
    return torch.softmax(call.scale * call.query @ key.transpose(-1, -2) + call.mask, dim=-1)
