"""Several deltas of one model: how much each changed every head, and their sum (task arithmetic,
Ilharco et al., arXiv 2212.04089).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from ctsft.model.model import Model
from ctsft.tuning.delta import Delta, delta_base
from ctsft.tuning.delta_file import SIDES
from ctsft.tuning.trainable import linear_slices, norm_parameters
from ctsft.utils.errors import UserError


@dataclass(frozen=True)
class ParameterSlice:
    """Indices of one dimension of a parameter."""

    name: str
    parameter: nn.Parameter
    dim: int
    index: torch.Tensor


def load_deltas(model: Model, paths: list) -> tuple[Model, list[Delta]]:
    """The model that several deltas (or their files) change, and the deltas. UserError for deltas
    of another model, or of more than one `kv`.
    """
    deltas = [path if isinstance(path, Delta) else Delta.load(path) for path in paths]
    if len({delta.about["kv"] for delta in deltas}) > 1:
        raise UserError(
            f"Of {', '.join(map(str, paths))} some have kv='group' and some kv='expand'; take"
            " deltas of one kind."
        )
    bases = [delta_base(model, delta, path) for delta, path in zip(deltas, paths, strict=True)]
    return bases[0], deltas


def parameter_names(model: Model) -> dict[int, str]:
    """{id of a parameter: its name}."""
    return {id(parameter): name for name, parameter in model.hf.named_parameters()}


def slices_of_heads(model: Model) -> dict[tuple[int, int], list[ParameterSlice]]:
    """The parameters of each head, biases and the key/value rows that it shares included."""
    names, slices = parameter_names(model), {}
    for head in model.heads:
        slices[head] = []
        for part in linear_slices(model, [head]):
            weight, bias = part.linear.module.weight, part.linear.module.bias
            slices[head].append(ParameterSlice(names[id(weight)], weight, part.dim, part.index))
            if not part.columns and bias is not None:
                slices[head].append(ParameterSlice(names[id(bias)], bias, 0, part.index))
    return slices


def slices_of_norms(model: Model) -> list[ParameterSlice]:
    names = parameter_names(model)
    return [
        ParameterSlice(names[id(value)], value, 0, torch.arange(len(value)))
        for value in norm_parameters(model)
    ]


def gather(tensors: dict[str, torch.Tensor], slices: list[ParameterSlice]) -> torch.Tensor:
    """The values of these slices as one float64 vector; 0 for a parameter that `tensors` lacks."""
    vectors = []
    for part in slices:
        if part.name in tensors:
            vectors.append(tensors[part.name].index_select(part.dim, part.index).flatten())
        else:
            size = part.parameter.numel() // part.parameter.shape[part.dim] * len(part.index)
            vectors.append(torch.zeros(size, dtype=torch.float64))
    return torch.cat(vectors) if vectors else torch.zeros(0, dtype=torch.float64)


def head_changes(model: Model, path) -> list[dict]:
    """How much one tuning changed each head. model: the one before tuning; path: the delta file.

    Rows {"layer", "head", "change", "of"}: Euclidean norms of the change, and of the parameters
    before it, for the parameters that `compare_deltas` lists. One more row for all norms: layer
    None and head "norms". UserError for a delta of another model.
    """
    base, (delta,) = load_deltas(model, [path])
    changes = delta.changes(base)
    before = {
        name: parameter.detach().cpu().double()
        for name, parameter in base.hf.named_parameters()
        if name in changes
    }
    slices = slices_of_heads(base) | {(None, "norms"): slices_of_norms(base)}
    return [
        {
            "layer": layer,
            "head": head,
            "change": gather(changes, parts).norm().item(),
            "of": gather(before, parts).norm().item(),
        }
        for (layer, head), parts in slices.items()
    ]


def compare_deltas(model: Model, first, second) -> list[dict]:
    """How much two tunings of one model changed each head, and whether in the same direction.
    model: the one before tuning; first, second: delta files.

    Rows {"layer", "head", "first", "second", "cosine"}: Euclidean norms of the change of the head's
    Q, K, V rows (biases included; key/value rows shared by a group count for each of its heads) and
    output columns, and the cosine between the two changes, None where either is 0. Two more rows
    with layer None: head "norms", and head "rest" (what belongs to no head and no norm). UserError
    for deltas of another model.
    """
    base, deltas = load_deltas(model, [first, second])
    changes = [delta.changes(base) for delta in deltas]
    slices = slices_of_heads(base) | {(None, "norms"): slices_of_norms(base)}
    rows = [
        comparison_row(*place, *(gather(change, parts) for change in changes))
        for place, parts in slices.items()
    ]
    rest = remaining_changes(changes, [part for parts in slices.values() for part in parts])
    return [*rows, comparison_row(None, "rest", *rest)]


def comparison_row(
    layer: int | None, head: int | str, first: torch.Tensor, second: torch.Tensor
) -> dict:
    """One row of `compare_deltas`, from the changes as vectors."""
    norms = first.norm().item(), second.norm().item()
    cosine = (first @ second).item() / (norms[0] * norms[1]) if all(norms) else None
    return {"layer": layer, "head": head, "first": norms[0], "second": norms[1], "cosine": cosine}


def remaining_changes(
    changes: list[dict[str, torch.Tensor]], slices: list[ParameterSlice]
) -> list[torch.Tensor]:
    """Each delta's changes outside the slices, as vectors over the same parameters."""
    like = {name: value for table in changes for name, value in table.items()}
    vectors = []
    for table in changes:
        remaining = {
            name: table[name].clone() if name in table else torch.zeros_like(value)
            for name, value in like.items()
        }
        for part in slices:
            if part.name in remaining:
                remaining[part.name].index_fill_(part.dim, part.index, 0.0)
        vectors.append(torch.cat([value.flatten() for value in remaining.values()]))
    return vectors


def add_deltas(model: Model, paths: Iterable, to) -> Delta:
    """Write a delta whose changes are the sum of those of several deltas of one model to `to`.

    model: the one before tuning. A parameter keeps its slices where each delta changes slices of
    it along one dimension; otherwise it is stored whole (LoRA adapters too). UserError for deltas
    of another model, or without a delta.
    """
    paths = list(paths)
    if not paths:
        raise UserError("There is no delta to add; give at least one file.")
    base, deltas = load_deltas(model, paths)
    total: dict[str, torch.Tensor] = {}
    for delta in deltas:
        for name, change in delta.changes(base).items():
            total[name] = total[name] + change if name in total else change
    tensors, parameters = {}, dict(base.hf.named_parameters())
    for name, change in total.items():
        old = parameters[name]
        new = (old.detach().cpu().double() + change).to(old.dtype)
        indices = [delta.index(name) for delta in deltas if name in delta.names]
        if None in indices or len({dim for dim, _ in indices}) > 1:
            tensors[name] = new
        else:
            dim = indices[0][0]
            index = torch.cat([index for _, index in indices]).unique()
            tensors |= {
                f"{name}:values": new.index_select(dim, index),
                f"{name}:{SIDES[dim]}": index.to(torch.int32),
            }
    about = {
        "base": model.fingerprint,
        "what": " + ".join(delta.about["what"] for delta in deltas),
        "kv": deltas[0].about["kv"],
    }
    combined = Delta(about, tensors)
    combined.save(to)
    return combined
