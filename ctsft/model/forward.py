"""Forward passes of the untouched Hugging Face model: logits at the readout, and recorded passes.

Texts are padded on the right, so under a causal mask no real position ever sees padding.
"""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from ctsft.model.attention import AttentionCall, attend, tapped
from ctsft.model.batching import Batch


def readout_logits(hf, batch: Batch) -> torch.Tensor:
    """Logits at each text's readout, [batch, vocab] or [batch, class]; a language model computes
    them at no other position.
    """
    inputs = {"input_ids": batch.ids, "attention_mask": batch.real.long()}
    if batch.reads_first:
        return hf(**inputs).logits
    if hasattr(hf, "score"):
        # a decoder's classes, read at the last real position whatever the padding token is
        hidden = hf.base_model(**inputs, use_cache=False).last_hidden_state
        texts = torch.arange(len(hidden), device=hidden.device)
        return hf.score(hidden[texts, batch.readout.to(hidden.device)])
    with input_narrowed(hf.get_output_embeddings(), batch.readout):
        return hf(**inputs, use_cache=False).logits[:, 0]


@contextmanager
def input_narrowed(module, positions: torch.Tensor):
    """Inside the `with`, and in passes of this thread only, `module` gets its input at one position
    of each text: [batch, 1, d] instead of [batch, pos, d].
    """
    thread = threading.get_ident()

    def narrow(_, args):
        if threading.get_ident() != thread:
            return None
        x = args[0]
        texts = torch.arange(len(x), device=x.device)
        return (x[texts, positions.to(x.device)][:, None],)

    hook = module.register_forward_pre_hook(narrow)
    try:
        yield
    finally:
        hook.remove()


@dataclass
class Trace:
    """The recorded forward pass of one batch. Lists run over layers."""

    batch: Batch
    # into each block, and out of the last: [batch, pos, d_model]
    x: list[torch.Tensor] = field(default_factory=list)
    z: list[torch.Tensor] = field(default_factory=list)  # [batch, pos, head, d_head]
    calls: list[AttentionCall] = field(default_factory=list)
    # (cos, sin) of RoPE, [batch, pos, d_rotary] each; None without RoPE
    rotary: list[tuple | None] = field(default_factory=list)
    logits: torch.Tensor | None = None  # at the readout, [batch, vocab]


def record(model, batch: Batch, lean: bool = False) -> Trace:
    """Run the model on a batch, and record residual streams, heads' outputs, masks and RoPE angles.

    `lean`: without z, queries and keys.
    """
    trace = Trace(batch)

    def record_attention(call, z):
        trace.calls.append(replace(call, query=None, key=None) if lean else call)
        if not lean:
            trace.z.append(z)
        return z

    def record_input(module, args, kwargs):
        trace.x.append(args[0] if args else kwargs["hidden_states"])

    def record_output(module, args, output):
        trace.x.append(output[0] if isinstance(output, tuple) else output)

    def record_rotary(module, args, kwargs):
        trace.rotary.append(kwargs.get("position_embeddings"))

    hooks = [model.blocks[-1].module.register_forward_hook(record_output)]
    for block in model.blocks:
        hooks += [
            block.module.register_forward_pre_hook(record_input, with_kwargs=True),
            block.attention.register_forward_pre_hook(record_rotary, with_kwargs=True),
        ]
    try:
        with tapped(record_attention):
            trace.logits = readout_logits(model.hf, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def attention_pattern(trace: Trace, layer: int) -> torch.Tensor:
    """Attention pattern of every head, [batch, head, query pos, key pos]; rows sum to 1. Needs a
    trace that is not lean.
    """
    call = trace.calls[layer]
    batch, kv_heads, pos, _ = call.key.shape
    # with the identity as values, the output is the pattern itself
    identity = torch.eye(pos, dtype=call.query.dtype, device=call.query.device)
    return attend(call, identity.expand(batch, kv_heads, -1, -1))
