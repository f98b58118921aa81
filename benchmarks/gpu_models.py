"""The random models of `benchmarks.gpu`, how large each part of it is, and its clock."""

import copy
import functools
import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from ctsft.model.loading import wrap
from ctsft.model.model import Model

SMALL = {  # the model of the paths
    "vocab_size": 4096,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
QWEN = {  # Qwen2.5-0.5B
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class Plan:
    """How large everything is."""

    shape: dict = field(default_factory=lambda: QWEN)
    texts: int = 50
    tokens: int = 45
    exact_texts: int = 8  # that the formats are compared on
    # bytes that a bounded pass may hold beside the model
    room: int = 2 * 2**30
    rounds: int = 3  # of tuning steps
    steps: int = 4
    batch: int = 16


TINY = Plan(SMALL, texts=3, tokens=9, exact_texts=2, room=2**29, rounds=1, steps=1, batch=2)


def build(shape: dict, device: str, dtype=torch.float32, tokenizer=None) -> Model:
    """The same random weights each time, drawn on the CPU in float32."""
    hf = copy.deepcopy(drawn(json.dumps(shape)))
    return wrap(hf.to(device=device, dtype=dtype), tokenizer, "random weights")


@functools.lru_cache(maxsize=1)
def drawn(shape: str) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    hf = Qwen2ForCausalLM(Qwen2Config(max_position_embeddings=1024, **json.loads(shape)))
    # biases and gains start at 0 and 1: a rule that forgets one would go unnoticed
    with torch.no_grad():
        for value in hf.parameters():
            if value.dim() == 1:
                value.add_(0.1 * torch.randn_like(value))
    return hf


def free(device: str):
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def timed(work: Callable, device: str):
    """The result and seconds of a call, the device's queue empty before and after."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    if device == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - start
