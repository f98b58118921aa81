"""Stored answers of the tiny Qwen2: the pool they are about, and what a test asks of them."""

from pathlib import Path

import torch

from ctsft.cache import store
from ctsft.model.model import Model
from support.tasks import examples

POOL = examples(5, seed=9)


def bits(tensor: torch.Tensor) -> tuple:
    return tensor.shape, tensor.dtype, tensor.contiguous().flatten().view(torch.uint8).tolist()


def from_cache(notes: list[str]) -> bool:
    return any("answered from the cache" in note for note in notes)


def files(kind: str) -> list[Path]:
    return sorted((store.cache_folder() / kind).glob("*.safetensors"))


def other_weight(build, part: str) -> Model:
    model = build("qwen2")
    with torch.no_grad():
        next(value for name, value in model.hf.named_parameters() if part in name).view(-1)[3] += (
            1e-3
        )
    return model
