"""Tiny random models of the four decoder families, built offline: 4 heads (2 key/value heads where grouped), d_head 8.

Every number is drawn, norm gains and biases included, so that a rule that forgets one of them gives another answer.
"""
import copy
from types import MethodType

import torch
import transformers as tf

GROUPED = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "tie_word_embeddings": False,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}
GPT2 = {
    "vocab_size": 61, "n_embd": 32, "n_inner": 48, "n_layer": 3, "n_head": 4, "n_positions": 64,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}
FAMILIES = {
    "gpt2": (tf.GPT2Config, tf.GPT2LMHeadModel, GPT2),
    "llama": (tf.LlamaConfig, tf.LlamaForCausalLM, GROUPED),
    "mistral": (tf.MistralConfig, tf.MistralForCausalLM, GROUPED),
    "qwen2": (tf.Qwen2Config, tf.Qwen2ForCausalLM, GROUPED),
}


def tiny(family: str, seed: int = 0, **config_overrides):
    """A random float32 model of `family` in eval mode; the same numbers for the same seed. KeyError: not a family."""
    config_class, model_class, base = FAMILIES[family]
    model = model_class(config_class(**{**base, "use_cache": False, **config_overrides}))
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, param in model.named_parameters():
            noise = torch.randn(param.shape, generator=draw)
            if name.endswith("bias"):
                param.copy_(0.1 * noise)
            elif param.ndim == 1:  # a norm's gain
                param.copy_(1 + 0.2 * noise)
            elif any(word in name for word in ("wte", "wpe", "embed_tokens")):
                param.copy_(noise)
            else:  # Linear is [out, in], GPT-2's Conv1D is [in, out]
                conv = family == "gpt2" and "lm_head" not in name
                param.copy_(1.2 * noise / param.shape[0 if conv else 1] ** 0.5)
    return model.eval()


def exact(model):
    """A float64 copy without the places where HF drops to float32 (RMSNorm, RoPE angles; sdpa for eager's softmax)."""
    model = copy.deepcopy(model).double()
    model.set_attn_implementation("sdpa")
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            module.forward = MethodType(_rms_norm, module)
        if hasattr(module, "inv_freq"):
            module.forward = MethodType(_rope, module)
    return model


def _rms_norm(self, x):
    return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def _rope(self, x, position_ids):
    half = self.inv_freq.numel()
    base = self.config.rope_parameters["rope_theta"]
    inv_freq = base ** (-torch.arange(half, dtype=torch.float64, device=x.device) / half)  # [d_head / 2]
    angles = position_ids[..., None].double() * inv_freq  # [batch, pos, d_head / 2]
    angles = torch.cat((angles, angles), dim=-1)  # [batch, pos, d_head]
    return angles.cos().to(x), angles.sin().to(x)
