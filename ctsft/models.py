"""Models as the method sees them: per block, which module is which. The only file that names architectures.

A family is one short function that lists the modules of a Hugging Face model. Everything else (tracing, decomposition,
masked tuning) works on what it returns, so a family is written once, and `loading.load_model` replays every model it
loads against the original to prove the list right.
"""
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
from transformers.pytorch_utils import Conv1D

from ctsft.errors import UserError


@dataclass(frozen=True)
class Linear:
    """Some output features of a linear module: all of them, or the third of a fused QKV that is meant."""
    module: nn.Module
    rows: slice = field(default_factory=lambda: slice(None))

    @property
    def transposed(self) -> bool:
        return isinstance(self.module, Conv1D)     # GPT-2 keeps its weights as [in, out]

    @property
    def weight(self) -> torch.Tensor:              # [out, in]
        return self.module.weight[:, self.rows].T if self.transposed else self.module.weight[self.rows]

    @property
    def bias(self) -> torch.Tensor | None:         # [out]
        return None if self.module.bias is None else self.module.bias[self.rows]

    def __call__(self, x):                         # [..., in] -> [..., out]
        return F.linear(x, self.weight, self.bias)

    def features(self, start: int, stop: int) -> range:
        """Numbers of the module's output features that are this projection's features start to stop."""
        first = self.rows.start or 0
        return range(first + start, first + stop)


@dataclass(frozen=True)
class Norm:
    """A LayerNorm (`centred`) or an RMSNorm."""
    module: nn.Module
    eps: float
    centred: bool

    @property
    def gain(self) -> torch.Tensor:                # [d_model]
        return self.module.weight

    @property
    def bias(self) -> torch.Tensor | None:
        return getattr(self.module, "bias", None)

    def scale(self, x):                            # [..., d] -> [..., 1]: one over the standard deviation, or over the root mean square
        variance = x.var(-1, keepdim=True, unbiased=False) if self.centred else x.pow(2).mean(-1, keepdim=True)
        return torch.rsqrt(variance + self.eps)


@dataclass(frozen=True)
class Block:
    """One transformer block, norms in front: x + o(attention(norm(x))), then x + down(f(...norm(x)...))."""
    module: nn.Module                              # its first input is the residual stream
    attention: nn.Module                           # the module that calls the attention function
    attn_norm: Norm
    q: Linear
    k: Linear
    v: Linear
    o: Linear
    mlp_norm: Norm
    up: Linear
    down: Linear
    act: Callable
    gate: Linear | None = None                     # gated MLP: act(gate) * up


@dataclass(frozen=True)
class Architecture:
    """What a family function returns; `rope(q, k, cos, sin)` turns queries and keys [batch, head, pos, d_head], None without rotary positions."""
    blocks: list[Block]
    final_norm: Norm
    unembed: Linear
    rope: Callable | None = None


FUSED = {"gelu_new": partial(F.gelu, approximate="tanh")}      # the same function in one pass instead of eight


def gpt2(hf) -> Architecture:
    def norm(module):
        return Norm(module, module.eps, centred=True)

    def block(layer):
        d = layer.attn.embed_dim
        q, k, v = (Linear(layer.attn.c_attn, slice(i * d, (i + 1) * d)) for i in range(3))
        return Block(layer, layer.attn, norm(layer.ln_1), q, k, v, Linear(layer.attn.c_proj),
                     norm(layer.ln_2), Linear(layer.mlp.c_fc), Linear(layer.mlp.c_proj), FUSED.get(hf.config.activation_function, layer.mlp.act))
    return Architecture([block(layer) for layer in hf.transformer.h], norm(hf.transformer.ln_f), Linear(hf.lm_head))


def llama(hf) -> Architecture:
    def norm(module):
        return Norm(module, module.variance_epsilon, centred=False)

    def block(layer):
        a, m = layer.self_attn, layer.mlp
        return Block(layer, a, norm(layer.input_layernorm), Linear(a.q_proj), Linear(a.k_proj), Linear(a.v_proj), Linear(a.o_proj),
                     norm(layer.post_attention_layernorm), Linear(m.up_proj), Linear(m.down_proj), m.act_fn, gate=Linear(m.gate_proj))
    return Architecture([block(layer) for layer in hf.model.layers], norm(hf.model.norm), Linear(hf.lm_head), rope=apply_rotary_pos_emb)


FAMILIES = {"gpt2": gpt2, "llama": llama, "mistral": llama, "qwen2": llama}      # by config.model_type


class Model:
    """A Hugging Face model, its tokenizer and its blocks. `name` is what the user called it."""

    def __init__(self, hf, tokenizer, name: str = ""):
        family = FAMILIES.get(hf.config.model_type)
        if family is None:
            raise UserError(f"Models of type {hf.config.model_type!r} are not supported; choose one of type {', '.join(sorted(FAMILIES))}.")
        self.hf, self.tokenizer, self.name = hf, tokenizer, name
        self.architecture = family(hf)
        config = hf.config
        self.n_layers = len(self.architecture.blocks)
        self.n_heads = config.num_attention_heads
        self.n_kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self.d_model = config.hidden_size
        self.d_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads

    @property
    def blocks(self) -> list[Block]:
        return self.architecture.blocks

    @property
    def model_type(self) -> str:
        return self.hf.config.model_type

    @property
    def device(self) -> torch.device:
        return self.hf.device

    @property
    def dtype(self) -> torch.dtype:
        return self.hf.dtype

    @property
    def n_params(self) -> int:
        return sum(parameter.numel() for parameter in self.hf.parameters())

    @property
    def heads(self) -> list[tuple[int, int]]:
        """All heads, layer by layer."""
        return [(layer, head) for layer in range(self.n_layers) for head in range(self.n_heads)]

    def kv_group(self, head: int) -> range:
        """The query heads that share key/value rows with `head`, itself included."""
        size = self.n_heads // self.n_kv_heads
        return range(head // size * size, (head // size + 1) * size)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change when a weight does. Computed once: a tuned model is a new `Model`."""
        return fingerprint(self.hf)


def fingerprint(hf) -> str:
    """A hash over every weight, by name."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(hf.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
