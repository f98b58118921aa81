"""Parts that the readers share: weights in float64, rotation, windows, heads."""

from collections.abc import Callable

import torch

from oracle.naive_net import ACTIVATIONS, Linear, Net, Norm, Rope


def copy64(param):
    return None if param is None else param.detach().cpu().double()


def linear(module, rows=slice(None)) -> Linear:
    """Of nn.Linear, which is [out, in]; `rows`: these outputs only."""
    return Linear(
        copy64(module.weight)[rows].T, None if module.bias is None else copy64(module.bias)[rows]
    )


def layer_norm(module, eps) -> Norm:
    return Norm(copy64(module.weight), copy64(module.bias), eps, centred=True)


def rms_norm(module, eps, unit=0) -> Norm:
    """`unit`: 1 for Gemma, whose gain is 1 + weight."""
    return Norm(unit + copy64(module.weight), None, eps, centred=False)


def d_head_of(out_projection, config) -> int:
    return out_projection.weight.shape[1] // config.num_attention_heads


def rope(params, d_head, partial=1.0) -> Rope:
    if params["rope_type"] != "default":
        raise ValueError(
            f"rope type {params['rope_type']!r} is not covered by naive.py; use 'default'"
        )
    return Rope(params["rope_theta"], int(d_head * partial))


def softcap(cap) -> Callable:
    return lambda x: cap * torch.tanh(x / cap)


def head(hf, cap=None) -> list:
    """The last linear layer of a decoder; a final softcap belongs to the language-model head
    only.
    """
    if type(hf).__name__.endswith("ForSequenceClassification"):
        return [linear(hf.score)]
    return [linear(hf.lm_head)] if cap is None else [linear(hf.lm_head), softcap(cap)]


def window(config, index):
    """Mistral and Phi-3 have one window for all layers; Qwen, Gemma 2 and Gemma 3 name the layers
    that have it.
    """
    if config.model_type in ("mistral", "phi3"):
        return config.sliding_window
    if (
        config.model_type in ("qwen2", "qwen3", "gemma2", "gemma3_text")
        and config.layer_types[index] == "sliding_attention"
    ):
        return config.sliding_window
    return None


def separate(block) -> dict:
    """The linear layers of a block with its own q, k, v, gate and up projections."""
    attn, mlp = block.self_attn, block.mlp
    return {
        "q": linear(attn.q_proj),
        "k": linear(attn.k_proj),
        "v": linear(attn.v_proj),
        "o": linear(attn.o_proj),
        "gate": linear(mlp.gate_proj),
        "up": linear(mlp.up_proj),
        "down": linear(mlp.down_proj),
    }


def decoder(hf, layers, act, unit=0, embed_scale=1.0, cap=None) -> Net:
    """A Net around blocks of the Llama kind."""
    config, body = hf.config, hf.base_model
    if getattr(config, "use_bidirectional_attention", None):
        raise ValueError(
            "use_bidirectional_attention is not covered by naive.py; leave it out of the config"
        )
    return Net(
        copy64(body.embed_tokens.weight) * embed_scale,
        layers,
        head(hf, cap),
        config.num_attention_heads,
        ACTIVATIONS[act],
        final_norm=rms_norm(body.norm, config.rms_norm_eps, unit),
    )
