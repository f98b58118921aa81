"""What a transformer is to naive.py: plain float64 tensors and a few facts, without its family's
name.

Half a block is x -> after(x + post(core(pre(x)))).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch


def tanh_gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_new": tanh_gelu,
    "gelu_pytorch_tanh": tanh_gelu,
    "relu": lambda x: x.clamp(min=0),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


@dataclass
class Linear:
    weight: torch.Tensor  # [in, out]
    bias: torch.Tensor | None = None  # [out]


@dataclass
class Norm:
    gain: torch.Tensor  # [width]; of a query/key norm, width is d_head or the whole projection
    bias: torch.Tensor | None  # [width]
    eps: float
    centred: bool  # True: LayerNorm, False: RMSNorm


@dataclass
class Around:
    """The norms of half a block; None: there is none."""

    pre: Norm | None = None
    post: Norm | None = None
    after: Norm | None = None


@dataclass
class Rope:
    theta: float
    dims: int  # only the first `dims` coordinates of a head turn


@dataclass
class Layer:
    attn: Around
    q: Linear  # [d_model, head * d_head]
    k: Linear  # [d_model, kv_head * d_head]
    v: Linear
    o: Linear  # [head * d_head, d_model]
    scale: float
    mlp: Around
    up: Linear  # MLP-in
    down: Linear  # MLP-out
    gate: Linear | None = None  # None: plain MLP
    q_norm: Norm | None = None
    k_norm: Norm | None = None
    rope: Rope | None = None
    # a position sees itself and window - 1 before it; None: all before it
    window: int | None = None
    cap: float | None = None  # scores become cap * tanh(scores / cap)


@dataclass
class Net:
    embed: torch.Tensor  # [vocab, d_model], scaled
    layers: list[Layer]
    # from the readout's state to the logits: linear layers and elementwise functions
    head: list[Linear | Callable]
    n_heads: int
    act: Callable
    pos_embed: torch.Tensor | None = None  # [pos, d_model], token type 0 added
    # RoBERTa: a token's position is pad + its count among tokens other than pad; pad itself stays
    # at pad
    pad: int | None = None
    embed_norm: Norm | None = None
    final_norm: Norm | None = None
    parallel: bool = False  # the MLP reads the block's input, not the attention half's output
    # False: every position sees every other, and the readout is the first position
    causal: bool = True

    @property
    def d_head(self) -> int:
        return self.layers[0].q.weight.shape[1] // self.n_heads

    @property
    def n_kv(self) -> int:
        return self.layers[0].k.weight.shape[1] // self.d_head

    @property
    def readout(self) -> int:
        return -1 if self.causal else 0
