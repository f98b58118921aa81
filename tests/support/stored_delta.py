"""The delta of a run folder that was made without training."""

from pathlib import Path

import torch

from ctsft import load_model
from ctsft.attribution.scores import Head
from ctsft.tuning.delta import Delta


def write_delta(folder: Path, changed: Head):
    """delta.safetensors, in which only the query rows of one head of the bundled model differ."""
    model, (layer, head) = load_model("demo"), changed
    name = f"model.layers.{layer}.self_attn.q_proj.weight"
    values = dict(model.hf.named_parameters())[name].detach().clone()  # [head * d_head, d_model]
    values[head * model.d_head : (head + 1) * model.d_head] += torch.tensor(0.1)
    about = {"base": model.fingerprint, "what": "full", "kv": "group"}
    Delta(about, {name: values}).save(folder / "delta.safetensors")
