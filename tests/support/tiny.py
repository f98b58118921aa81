"""Tiny random models of every family, built offline: 3 layers, 4 heads (2 key/value heads where
grouped), d_head 8.

Every number is drawn, norm gains and biases included, so that a rule that forgets one of them gives
another answer; windows (4 tokens) and softcaps (5, 8) are small enough to change it too. `exact`
gives the float64 model that the oracle is held to.
"""

import copy
from types import MethodType

import torch
import transformers as tf
from transformers.masking_utils import AttentionMaskInterface, eager_mask

GPT2 = {
    "vocab_size": 61,
    "n_embd": 32,
    "n_inner": 48,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 64,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
PLAIN = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
NO_SPECIAL = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
GROUPED = PLAIN | NO_SPECIAL | {"num_key_value_heads": 2, "tie_word_embeddings": False}
GEMMA2 = GROUPED | {
    "head_dim": 8,
    "query_pre_attn_scalar": 12,
    "sliding_window": 4,
    "final_logit_softcapping": 8.0,
}
HALF_ROPE = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
BERT = PLAIN | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "pad_token_id": 0}
ROBERTA = BERT | {"pad_token_id": 1, "type_vocab_size": 1}
DECODERS = {
    "gpt2": GPT2,
    "gpt_neox": PLAIN | NO_SPECIAL | {"rope_parameters": HALF_ROPE},
    "llama": GROUPED,
    "mistral": GROUPED | {"sliding_window": 4},
    "qwen2": GROUPED,
    "qwen3": GROUPED | {"head_dim": 8},
    "gemma": GROUPED | {"head_dim": 8},
    "gemma2": GEMMA2 | {"attn_logit_softcapping": 5.0},
    "gemma3_text": (
        GEMMA2 | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
    ),
    "phi3": GROUPED | {"sliding_window": 4, "rope_parameters": HALF_ROPE},
    "olmo2": GROUPED,
}
ENCODERS = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "distilbert": {
        "vocab_size": 61,
        "dim": 32,
        "hidden_dim": 48,
        "n_layers": 3,
        "n_heads": 4,
        "max_position_embeddings": 64,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "seq_classif_dropout": 0.0,
        "pad_token_id": 0,
    },
}
FAMILIES = DECODERS | ENCODERS
HEADS = {"causal": tf.AutoModelForCausalLM, "classes": tf.AutoModelForSequenceClassification}


def tiny(family: str, seed: int = 0, kind: str | None = None, **config_overrides):
    """A random float32 model of `family` in eval mode; the same numbers for the same seed.
    KeyError: not a family.

    `kind`: "causal" (decoders, the default there) or "classes" (`num_labels` 3; the only kind of an
    encoder).
    """
    base = copy.deepcopy(FAMILIES[family])
    kind = kind or ("causal" if family in DECODERS else "classes")
    if family in ENCODERS and kind != "classes":
        raise ValueError(
            f"{family!r} is an encoder, so kind={kind!r} is not supported; choose 'classes'"
        )
    labels = {"num_labels": 3} if kind == "classes" else {}
    config = tf.AutoConfig.for_model(
        family, **{**base, **labels, "use_cache": False, **config_overrides}
    )
    model = HEADS[kind].from_config(config)
    gemma = family.startswith("gemma")
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, param in model.named_parameters():
            noise = torch.randn(param.shape, generator=draw)
            if name.endswith("bias"):
                param.copy_(0.1 * noise)
            elif param.ndim == 1:  # a norm's gain; Gemma's is 1 + weight
                param.copy_(0.2 * noise if gemma else 1 + 0.2 * noise)
            elif any(word in name for word in ("wte", "wpe", "embed")):
                # Gemma multiplies by sqrt(d_model) itself
                param.copy_(noise / param.shape[1] ** 0.5 if gemma else noise)
            else:  # Linear is [out, in], GPT-2's Conv1D is [in, out]
                conv = family == "gpt2" and not name.startswith(("lm_head", "score"))
                param.copy_(1.2 * noise / param.shape[0 if conv else 1] ** 0.5)
    return model.eval()


def exact(model):
    """A float64 copy without the places where HF drops to float32: RMSNorm, RoPE angles, eager's
    softmax.

    Attention is HF's sdpa, which keeps float64; Gemma 2 refuses sdpa (its softcap), so `_attention`
    replaces its eager one. Left as HF has it: Gemma's embedding scale, sqrt(d_model) rounded to
    float32 in a buffer.
    """
    model = copy.deepcopy(model).double()
    model.set_attn_implementation("sdpa" if model._supports_sdpa else "float64")
    for module in model.modules():
        name = type(module).__name__
        if name.endswith("RMSNorm"):
            module.forward = MethodType(
                _gemma_norm if name.startswith("Gemma") else _rms_norm, module
            )
        if name.endswith("RotaryEmbedding"):
            module.forward = MethodType(_rope, module)
    return model


def _rms_norm(self, x):
    return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def _gemma_norm(self, x):
    return (1 + self.weight) * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)


def _rope(self, x, position_ids, layer_type=None):
    prefix, params = "", self.config.rope_parameters
    if layer_type is not None:
        # Gemma 3 has one set of angles for its local layers and one for the others
        prefix, params = f"{layer_type}_", params[layer_type]
    half = getattr(self, f"{prefix}inv_freq").numel()
    # [turned / 2]
    inv_freq = params["rope_theta"] ** (
        -torch.arange(half, dtype=torch.float64, device=x.device) / half
    )
    angles = position_ids[..., None].double() * inv_freq  # [batch, pos, turned / 2]
    angles = torch.cat((angles, angles), dim=-1)  # [batch, pos, turned]
    return angles.cos().to(x), angles.sin().to(x)


def _attention(module, query, key, value, attention_mask, scaling, softcap=None, **_):
    key, value = (x.repeat_interleave(module.num_key_value_groups, dim=1) for x in (key, value))
    scores = scaling * query @ key.mT  # [batch, head, pos, pos]
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if attention_mask is not None:
        scores = scores + attention_mask
    return (torch.softmax(scores, dim=-1) @ value).transpose(1, 2), None


tf.AttentionInterface.register("float64", _attention)
AttentionMaskInterface.register("float64", eager_mask)
