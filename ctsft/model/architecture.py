"""The parts that a model is described in: linear maps, norms, blocks, and the output head.

A family function in `ctsft.model.families` lists the modules of a Hugging Face model as these
parts. No other code knows the names of an architecture's modules.

Each half of a block (attention or MLP, its *core*) computes

    x -> after(x + post(core(pre(x))))

where a norm that a family does not have is left out: GPT-2 and Llama have `pre`, OLMo 2 has `post`,
Gemma 2 has both, BERT has `after`. The attention half comes first. In a `parallel` block (GPT-NeoX)
both halves read the same x, and both results are added to it.
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
    """A linear map: all output features of a module, or only those in `rows` (one projection of a
    fused one).
    """

    module: nn.Module
    rows: slice | torch.Tensor = field(default_factory=lambda: slice(None))

    @property
    def transposed(self) -> bool:
        """Whether the module stores its weight as [in, out] (GPT-2) instead of [out, in]."""
        return isinstance(self.module, Conv1D)

    @property
    def weight(self) -> torch.Tensor:  # [out, in]
        if self.transposed:
            return self.module.weight[:, self.rows].T
        return self.module.weight[self.rows]

    @property
    def bias(self) -> torch.Tensor | None:  # [out]
        return None if self.module.bias is None else self.module.bias[self.rows]

    def __call__(self, x):  # [..., in] -> [..., out]
        return F.linear(x, self.weight, self.bias)

    def output_features(self, start: int, stop: int) -> list[int]:
        """Indices of the module's output features that are this map's features start to stop."""
        if isinstance(self.rows, torch.Tensor):
            return self.rows[start:stop].tolist()
        first = self.rows.start or 0
        return list(range(first + start, first + stop))

    def select(self, rows: list[int]) -> "Linear":
        """The map to these output features only; for a `Linear` that covers its whole module."""
        return Linear(self.module, torch.tensor(rows))


@dataclass(frozen=True)
class Norm:
    """A LayerNorm (`centred`) or an RMSNorm over the last dimension.

    The gain is the module's weight plus `offset` (Gemma: 1 + w).
    """

    module: nn.Module
    eps: float
    centred: bool = False
    offset: float = 0.0

    @property
    def gain(self) -> torch.Tensor:  # [d]
        return self.module.weight + self.offset if self.offset else self.module.weight

    @property
    def bias(self) -> torch.Tensor | None:  # [d]
        return getattr(self.module, "bias", None)

    def scale(self, x):  # [..., d] -> [..., 1]
        """One over the standard deviation of x, or over its root mean square."""
        if self.centred:
            square = x.var(-1, keepdim=True, unbiased=False)
        else:
            square = x.pow(2).mean(-1, keepdim=True)
        return torch.rsqrt(square + self.eps)

    def __call__(self, x):  # [..., d] -> [..., d]
        centred = x - x.mean(-1, keepdim=True) if self.centred else x
        out = centred * (self.scale(x) * self.gain)
        return out if self.bias is None else out + self.bias


@dataclass(frozen=True)
class Block:
    """One transformer block. A norm that a family does not have is None."""

    module: nn.Module  # its first input is the residual stream, its output the next one
    attention: nn.Module  # the module that calls the attention function
    q: Linear
    k: Linear
    v: Linear
    o: Linear
    up: Linear
    down: Linear
    act: Callable  # elementwise; may overwrite its argument
    gate: Linear | None = None  # gated MLP: act(gate) * up
    attn_norm: Norm | None = None  # `pre` of the attention half
    attn_post: Norm | None = None
    attn_after: Norm | None = None
    mlp_norm: Norm | None = None  # `pre` of the MLP half
    mlp_post: Norm | None = None
    mlp_after: Norm | None = None
    q_norm: Norm | None = None  # before RoPE, of each head's queries or of all heads' together
    k_norm: Norm | None = None
    parallel: bool = False

    @property
    def norms(self) -> list[Norm]:
        values = [getattr(self, field.name) for field in fields(self)]
        return [value for value in values if isinstance(value, Norm)]


@dataclass(frozen=True)
class Architecture:
    """What a family function returns: the parts of one model.

    `head` leads from the normed residual stream at the readout to the logits: linear maps and
    elementwise functions in turn. `reads_first`: the readout is the first position (encoders);
    otherwise it is the last real one.
    """

    blocks: list[Block]
    head: tuple[Linear | Callable, ...]
    final_norm: Norm | None = None
    embed_norm: Norm | None = None  # before the first block; trained, but not decomposed
    reads_first: bool = False

    @property
    def norms(self) -> list[Norm]:
        """Every norm of the model: these are trained with a circuit."""
        outside = [norm for norm in (self.embed_norm, self.final_norm) if norm is not None]
        return [norm for block in self.blocks for norm in block.norms] + outside

    @property
    def output_modules(self) -> list[nn.Module]:
        """The modules after the last block."""
        norms = [self.final_norm.module] if self.final_norm else []
        return norms + [step.module for step in self.head if isinstance(step, Linear)]

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
    """Inside the `with`, weights that accelerate offloaded (`device_map` with parts on the CPU or
    on disk) are on their modules.
    """
    with ExitStack() as stack:
        parts = [part for module in modules if module is not None for part in module.modules()]
        for part in parts:
            if hasattr(part, "_hf_hook") and any(
                value.is_meta for value in part.parameters(recurse=False)
            ):
                stack.enter_context(align_module_device(part))
        yield
