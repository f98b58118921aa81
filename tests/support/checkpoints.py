"""Copies of a model folder with other weights, another configuration or another tokenizer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

Tensors = dict  # {name: tensor}


def copied(
    folder: Path, to: Path, change: Callable[[Tensors], Tensors] = lambda tensors: tensors, **config
) -> Path:
    """A copy whose tensors went through `change`, with other entries in config.json."""
    shutil.copytree(folder, to)
    tensors = change(load_file(folder / "model.safetensors"))
    save_file(
        {name: value.contiguous().clone() for name, value in tensors.items()},
        to / "model.safetensors",
        {"format": "pt"},
    )
    settings = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(settings | config))
    return to


def prefixed(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {prefix + name: value for name, value in tensors.items()}


def without(*names: str) -> Callable[[Tensors], Tensors]:
    """Tensors whose names hold one of these texts are left out."""
    return lambda tensors: {
        name: value for name, value in tensors.items() if not any(text in name for text in names)
    }


def filled(name: str, value: float) -> Callable[[Tensors], Tensors]:
    """One number of one tensor is replaced."""

    def change(tensors: Tensors) -> Tensors:
        changed = tensors[name].clone()
        changed.view(-1)[-1] = value
        return tensors | {name: changed}

    return change


def end_appended(folder: Path, end: str = "<|end|>") -> Path:
    """The tokenizer of the folder appends a special token to every text from now on."""
    path = folder / "tokenizer.json"
    core = Tokenizer.from_file(str(path))
    core.post_processor = TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, core.token_to_id(end))]
    )
    core.save(str(path))
    return folder
