"""The words a model is described in: linear maps, norms, blocks and the head that reads the last
residual stream.

A family function in `models` lists a model's modules in these words; nothing to the right of it
names an architecture. A block half is `x -> after(x + post(core(pre(x))))`: GPT-2 and Llama norm in
front, OLMo 2 behind, Gemma 2 on both sides of the core, BERT behind the addition. A `parallel`
block adds both halves to the same x (GPT-NeoX).
"""

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields

import torch
from accelerate.utils import align_module_device
from torch import nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class Linear:
    """Some output features of a linear module: all of them, or those of a fused projection that are
    meant.
    """

    module: nn.Module
    rows: slice | torch.Tensor = field(default_factory=lambda: slice(None))

    @property
    def transposed(self) -> bool:
        return isinstance(self.module, Conv1D)  # GPT-2 keeps its weights as [in, out]

    @property
    def weight(self) -> torch.Tensor:  # [out, in]
        return (
            self.module.weight[:, self.rows].T if self.transposed else self.module.weight[self.rows]
        )

    @property
    def bias(self) -> torch.Tensor | None:  # [out]
        return None if self.module.bias is None else self.module.bias[self.rows]

    def __call__(self, x):  # [..., in] -> [..., out]
        return F.linear(x, self.weight, self.bias)

    def output_features(self, start: int, stop: int) -> list[int]:
        """Numbers of the module's output features that are this projection's features start to
        stop.
        """
        if isinstance(self.rows, torch.Tensor):
            return self.rows[start:stop].tolist()
        first = self.rows.start or 0
        return list(range(first + start, first + stop))

    def select(self, rows: list[int]) -> "Linear":
        """A whole module's rows that are named."""
        return Linear(self.module, torch.tensor(rows))


@dataclass(frozen=True)
class Norm:
    """A LayerNorm (`centred`) or an RMSNorm over the last dimension; its gain is the module's
    weight plus `offset` (Gemma: 1 + w).
    """

    module: nn.Module
    eps: float
    centred: bool = False
    offset: float = 0.0

    @property
    def gain(self) -> torch.Tensor:  # [d]
        return self.module.weight + self.offset if self.offset else self.module.weight

    @property
    def bias(self) -> torch.Tensor | None:
        return getattr(self.module, "bias", None)

    def scale(self, x):
        # [..., d] -> [..., 1]: one over the standard deviation, or over the root mean square
        variance = (
            x.var(-1, keepdim=True, unbiased=False)
            if self.centred
            else x.pow(2).mean(-1, keepdim=True)
        )
        return torch.rsqrt(variance + self.eps)

    def __call__(self, x):
        out = (x - x.mean(-1, keepdim=True) if self.centred else x) * (self.scale(x) * self.gain)
        return out if self.bias is None else out + self.bias


@dataclass(frozen=True)
class Block:
    """One transformer block. A norm that a family does not have is None."""

    # its first input is the residual stream, its output the next one
    module: nn.Module
    # the module that calls the attention function
    attention: nn.Module
    q: Linear
    k: Linear
    v: Linear
    o: Linear
    up: Linear
    down: Linear
    act: Callable  # elementwise; may overwrite its argument
    gate: Linear | None = None  # gated MLP: act(gate) * up
    attn_norm: Norm | None = None  # pre
    attn_post: Norm | None = None
    attn_after: Norm | None = None
    mlp_norm: Norm | None = None  # pre
    mlp_post: Norm | None = None
    mlp_after: Norm | None = None
    # of each head's queries, or of all heads' together, before RoPE
    q_norm: Norm | None = None
    k_norm: Norm | None = None
    parallel: bool = False

    @property
    def norms(self) -> list[Norm]:
        return [
            value
            for value in (getattr(self, f.name) for f in fields(self))
            if isinstance(value, Norm)
        ]


@dataclass(frozen=True)
class Architecture:
    """What a family function returns.

    `head` leads from the normed residual stream at the readout to the logits: linear maps and
    elementwise functions in turn.
    `reads_first`: the readout is the first position (encoders), otherwise the last real one.
    """

    blocks: list[Block]
    head: tuple[Linear | Callable, ...]
    final_norm: Norm | None = None
    # in front of the first block; it is no part of the decomposition, but it moves
    embed_norm: Norm | None = None
    reads_first: bool = False

    @property
    def norms(self) -> list[Norm]:
        ends = [norm for norm in (self.embed_norm, self.final_norm) if norm is not None]
        return [norm for block in self.blocks for norm in block.norms] + ends

    @property
    def output_modules(self) -> list[nn.Module]:
        """Modules behind the last block."""
        return [norm.module for norm in (self.final_norm,) if norm] + [
            step.module for step in self.head if isinstance(step, Linear)
        ]

    @property
    def unembedding(self) -> torch.Tensor:
        """The head as one matrix, [logit, d_model]: the product of its linear maps (an encoder's
        tanh or ReLU counts as the identity).
        """
        with weights_loaded(*self.output_modules):
            matrices = [step.weight.detach() for step in self.head if isinstance(step, Linear)]
            out = matrices[-1].clone()
            for weight in reversed(matrices[:-1]):
                out = out @ weight
            return out


@contextmanager
def weights_loaded(*modules: nn.Module | None):
    """Within, the weights of modules that accelerate keeps elsewhere (`device_map` with parts on
    the CPU or on disk) are there.
    """
    with ExitStack() as stack:
        for module in modules:
            for part in module.modules() if module is not None else ():
                if hasattr(part, "_hf_hook") and any(
                    value.is_meta for value in part.parameters(recurse=False)
                ):
                    stack.enter_context(align_module_device(part))
        yield
