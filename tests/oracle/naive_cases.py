"""The models that the oracle is checked on: every family and kind, then configs that turn each
optional part on or off.
"""

import pytest
import torch

from oracle import naive
from support.tiny import DECODERS, ENCODERS, tiny

# holds 1, RoBERTa's pad: such a token keeps position 1 and is not counted
IDS = [3, 7, 1, 44, 20, 5, 9, 31, 60, 2, 17, 8]
PLAIN_GPT_NEOX = {
    "use_parallel_residual": False,
    "attention_bias": False,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 0.1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 1.0},
}
BIASED_LLAMA = {
    "attention_bias": True,
    "mlp_bias": True,
    "tie_word_embeddings": True,
    "rms_norm_eps": 0.1,
    "head_dim": 16,
    "hidden_act": "gelu_new",
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0},
}
WINDOWED = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}
OTHER_GEMMA3 = {
    "layer_types": ["full_attention", "sliding_attention", "full_attention"],
    "tie_word_embeddings": True,
    "final_logit_softcapping": None,
    "attn_logit_softcapping": 0.5,  # not applied by HF
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
        "full_attention": {"rope_type": "default", "rope_theta": 300.0},
    },
}
VARIANTS = {
    "gpt2-untied": (
        "gpt2",
        {"tie_word_embeddings": False, "layer_norm_epsilon": 0.1, "activation_function": "gelu"},
    ),
    "gpt_neox-sequential": ("gpt_neox", PLAIN_GPT_NEOX),
    "llama-biased": ("llama", BIASED_LLAMA),
    "mistral-full": ("mistral", {"sliding_window": None, "num_key_value_heads": 1, "head_dim": 12}),
    "qwen2-window": ("qwen2", WINDOWED),
    "qwen3-window": (
        "qwen3",
        WINDOWED | {"attention_bias": True, "head_dim": 12, "num_key_value_heads": 1},
    ),
    "gemma-tied": (
        "gemma",
        {
            "tie_word_embeddings": True,
            "hidden_act": "gelu",
            "attention_bias": True,
            "num_key_value_heads": 1,
        },
    ),
    "gemma2-uncapped": (
        "gemma2",
        {
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "query_pre_attn_scalar": 8,
        },
    ),
    "gemma3-other": ("gemma3_text", OTHER_GEMMA3),
    "phi3-full": (
        "phi3",
        {"sliding_window": None, "num_key_value_heads": 4, "rope_parameters": None},
    ),
    "olmo2-biased": (
        "olmo2",
        {"attention_bias": True, "rms_norm_eps": 0.1, "num_key_value_heads": 4},
    ),
    "bert-relu": ("bert", {"hidden_act": "relu", "layer_norm_eps": 0.1, "num_labels": 5}),
    "xlm-roberta-pad": ("xlm-roberta", {"pad_token_id": 5, "type_vocab_size": 2}),
    "distilbert-new": ("distilbert", {"activation": "gelu_new", "num_labels": 2}),
}
CASES = {family: (family, {}) for family in DECODERS | ENCODERS}
CASES |= {f"{family}-classes": (family, {"kind": "classes"}) for family in DECODERS} | VARIANTS
PATHS = {
    "gpt2": "h.{}.attn.c_proj",
    "gpt_neox": "layers.{}.attention.dense",
    "distilbert": "transformer.layer.{}.attention.out_lin",
    **dict.fromkeys(("bert", "roberta", "xlm-roberta"), "encoder.layer.{}.attention.output.dense"),
}


def build(case):
    family, how = CASES[case]
    return tiny(family, **how)


def is_classifier(hf) -> bool:
    return type(hf).__name__.endswith("ForSequenceClassification")


def labels(hf) -> tuple[int, list[int]]:
    """Gold and all labels: tokens of a language model, classes of a classifier."""
    return (1, list(range(hf.config.num_labels))) if is_classifier(hf) else (5, [4, 5, 6])


def hf_logits(hf):
    """HF's own logits at the readout, [vocab or class]."""
    logits = hf(torch.tensor([IDS])).logits[0]
    return (logits if is_classifier(hf) else logits[-1]).double()


def readout(hf) -> int:
    return 0 if hf.config.model_type in ENCODERS else len(IDS) - 1


def out_projections(hf) -> list:
    """The module that reads each layer's z, heads side by side."""
    path = PATHS.get(hf.config.model_type, "layers.{}.self_attn.o_proj")
    return [
        hf.base_model.get_submodule(path.format(layer))
        for layer in range(hf.config.num_hidden_layers)
    ]


each_body = pytest.mark.parametrize(
    "case",
    [case for case in CASES if not case.endswith("-classes")] + ["gpt2-classes", "gemma2-classes"],
)


def means(hf):
    return naive.label_balanced_means(hf, [IDS, IDS[::-1], IDS[:7]], ["a", "b", "a"])[0]
