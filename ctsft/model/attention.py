"""The attention function that every model runs with, registered with transformers.

It computes what transformers' `sdpa` computes, and lets a *tap* see, and replace, the heads'
outputs z before the output projection.
"""

from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

ATTENTION = "ctsft"  # the name it is registered under

_tap: ContextVar[Callable | None] = ContextVar("tap", default=None)  # of this thread's pass


@dataclass(frozen=True)
class AttentionCall:
    """What an attention module passes to the attention function, except the values. Queries and
    keys are those after RoPE.
    """

    module: torch.nn.Module
    query: torch.Tensor  # [batch, head, pos, d_head]
    key: torch.Tensor  # [batch, kv_head, pos, d_head]
    # [batch, 1, pos, pos], added to the logits; None: every position sees every other one
    mask: torch.Tensor | None
    scale: float
    # logits are cap * tanh(logits / cap) before the mask is added (Gemma 2)
    softcap: float | None = None


def attend(
    call: AttentionCall, value: torch.Tensor, dropout: float = 0.0, causal: bool = False
) -> torch.Tensor:
    """softmax(scale q k^T + mask) v, [batch, head, pos, d_head]; value: [batch, kv_head, pos,
    d_head].

    A key/value head serves all query heads of its group. `causal` stands for a causal mask, in
    place of `call.mask`.
    """
    query, key, mask = call.query, call.key, call.mask
    if call.softcap is None:
        return F.scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=causal, scale=call.scale, enable_gqa=True
        )
    group = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(group, 1)
    value = value.repeat_interleave(group, 1)
    logits = query @ key.transpose(-1, -2) * (call.scale / call.softcap)
    logits = torch.tanh(logits) * call.softcap
    weights = torch.softmax(logits if mask is None else logits + mask, -1)
    return F.dropout(weights, dropout, training=dropout > 0) @ value


def _attention(module, query, key, value, attention_mask, **options):
    """The function transformers calls; `options` are `scaling`, `dropout`, `softcap` and others
    that do not change the result.
    """
    scale = options.get("scaling")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    call = AttentionCall(module, query, key, attention_mask, scale, options.get("softcap"))
    z = attend(call, value, options.get("dropout", 0.0)).transpose(1, 2)
    # z: [batch, pos, head, d_head]
    tap = _tap.get()
    if tap is not None:
        z = tap(call, z)
    return z.contiguous(), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)


@contextmanager
def tapped(tap: Callable[[AttentionCall, torch.Tensor], torch.Tensor]):
    """Inside the `with`, `tap(call, z)` is called with every attention module's z, [batch, pos,
    head, d_head], and returns the z that the model continues with.
    """
    token = _tap.set(tap)
    try:
        yield
    finally:
        _tap.reset(token)
