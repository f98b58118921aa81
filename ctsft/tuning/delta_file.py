"""The file of a delta: its format, and how it is written, read and checked.

delta.safetensors
    <parameter>                    a parameter that was trained whole
    <parameter>:values             slices of it along its first or second dimension, and
    <parameter>:rows | :columns    their int32 indices
    <parameter>:left, :right       a LoRA adapter's factors; their product is added to the
                                   parameter
    stack<i>                       whole parameters of one length (norms), row by row
    metadata "delta"               JSON: base (fingerprint of the model before tuning), what,
                                   kv, and stacks: the names in each stack, separated by
                                   spaces (one key, because safetensors writes several in any
                                   order); share and head_shares ({"layer.head": share})
                                   where only a part of the change is applied (`shares`)
"""

import json
import os
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save_file

from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import quoted
from ctsft.utils.tensor_files import TensorFile

SIDES = ("rows", "columns")
INDICES = (torch.int32, torch.int64)

# the part of a parameter that a tensor holds -> the parts, one of which has to be there too
PARTS = {
    "": (),
    "values": SIDES,
    "rows": ("values",),
    "columns": ("values",),
    "left": ("right",),
    "right": ("left",),
}


class DeltaFile(BaseModel):
    """The description in a delta file."""

    model_config = ConfigDict(extra="forbid")
    base: str
    what: str
    kv: Literal["group", "expand"]
    stacks: dict[str, str] = {}
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    head_shares: dict[
        Annotated[str, Field(pattern=r"^\d{1,5}\.\d{1,5}$")], Annotated[float, Field(ge=0, le=1)]
    ] = {}


def delta_file(path) -> TensorFile:
    path = path if isinstance(path, str | os.PathLike) else "in memory"
    return TensorFile(path, "The delta", "give the delta.safetensors of a fine-tuning run")


def write_delta(path, about: dict, tensors: dict[str, torch.Tensor]):
    """Write the file; the same description and tensors give the same bytes."""
    tensors, stacks = stack_vectors({name: value.detach().cpu() for name, value in tensors.items()})
    with atomic_path(path, "the delta") as part:
        save_file(
            {name: value.contiguous().clone() for name, value in tensors.items()},
            part,
            {"delta": json.dumps(about | {"stacks": stacks})},
        )


def read_delta(path) -> tuple[dict, dict[str, torch.Tensor]]:
    """The description, without stacks, and the tensors under their own names. UserError when the
    file does not exist or is not a delta.
    """
    file = delta_file(path)
    said, tensors = file.read("delta", DeltaFile)
    vectors = {}
    for stack, written in said.stacks.items():
        names = written.split(" ")
        if stack not in tensors:
            raise file.refusal(f"the tensor {quoted(stack)} is missing")
        file.need_shape(stack, tensors[stack], (len(names), None))
        vectors |= dict(zip(names, tensors.pop(stack), strict=True))
    tensors = vectors | tensors
    check_tensors(tensors, file)
    return said.model_dump(exclude={"stacks"}, exclude_unset=True), tensors


def check_tensors(tensors: dict[str, torch.Tensor], file: TensorFile):
    """UserError where a tensor is none of a delta's, or lacks its counterpart."""
    if not tensors:
        raise file.refusal("it holds no tensor")
    for name, value in tensors.items():
        parameter, _, part = name.partition(":")
        if part not in PARTS:
            raise file.refusal(f"the tensor {quoted(name)} is not known")
        if part in SIDES:
            file.need_shape(name, value, (None,))
            if value.dtype not in INDICES or value.min() < 0:
                raise file.refusal(f"the tensor {quoted(name)} does not hold indices")
        else:
            file.need_finite(name, value)
        counterparts = [f"{parameter}:{other}" for other in PARTS[part]]
        if counterparts and not set(counterparts) & set(tensors):
            raise file.refusal(f"the tensor {quoted(counterparts[0])} is missing")


def stack_vectors(
    tensors: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Whole vectors of one length and format as the rows of one tensor, and their names: the header
    of a file takes 100 bytes for each tensor.
    """
    groups: dict[tuple, list[str]] = {}
    for name, value in tensors.items():
        if ":" not in name and value.ndim == 1:
            groups.setdefault((len(value), value.dtype), []).append(name)
    several = [names for names in groups.values() if len(names) > 1]
    stacks = {f"stack{i}": names for i, names in enumerate(several)}
    inside = {name for names in several for name in names}
    stacked = {
        stack: torch.stack([tensors[name] for name in names]) for stack, names in stacks.items()
    }
    others = {name: value for name, value in tensors.items() if name not in inside}
    return stacked | others, {stack: " ".join(names) for stack, names in stacks.items()}
