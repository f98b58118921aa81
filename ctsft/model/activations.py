"""Activation functions on buffers that are used again, and the softcap."""

import math
import threading
from collections.abc import Callable

import torch
from torch.nn import functional as F


class Scratch(threading.local):
    """Buffers of this thread that wide intermediate values are written to again and again: fresh
    memory costs more than the arithmetic.
    """

    def __init__(self):
        self.buffers: dict[tuple, torch.Tensor] = {}

    def take(self, name: str, like: torch.Tensor, *shape: int) -> torch.Tensor:
        """An uninitialised tensor of that shape (of `like`'s, if none is given), valid until the
        name is taken again.
        """
        shape, key = shape or like.shape, (name, like.dtype, like.device)
        size = math.prod(shape)
        if key not in self.buffers or self.buffers[key].numel() < size:
            self.buffers[key] = torch.empty(size, dtype=like.dtype, device=like.device)
        return self.buffers[key][:size].view(shape)

    def clear(self):
        self.buffers.clear()


scratch = Scratch()


def tanh_gelu(x):
    """GELU's tanh form as x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), in place: the same
    function at half the time on a CPU.
    """
    u = torch.mul(x, x, out=scratch.take("act", x))
    torch.addcmul(x, x, u, value=0.044715, out=u)
    return x.mul_(u.mul_(1.5957691216057308).sigmoid_())


FAST_ACTIVATIONS = {
    "gelu_new": tanh_gelu,
    "gelu_pytorch_tanh": tanh_gelu,
    "gelu_fast": tanh_gelu,
    "silu": lambda x: F.silu(x, inplace=True),
    "swish": lambda x: F.silu(x, inplace=True),
}


def fast_activation(name: str, module: Callable) -> Callable:
    """The activation a configuration names, in a form that makes fewer passes over memory where
    there is one.
    """
    return FAST_ACTIVATIONS.get(name, module)


def softcap(cap: float) -> Callable:
    """cap * tanh(x / cap): Gemma 2's bound on logits."""
    return lambda x: torch.tanh(x / cap) * cap
