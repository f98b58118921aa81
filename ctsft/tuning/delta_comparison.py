"""Several deltas of one model: how much each changed every head, and their sum (task arithmetic,
Ilharco et al., arXiv 2212.04089).
"""

from collections.abc import Iterable

import torch
from torch import nn

from ctsft.model.model import Model
from ctsft.tuning.delta import SIDES, Delta, base_of
from ctsft.tuning.trainable import linear_slices, norm_parameters
from ctsft.utils.errors import UserError

# name, parameter, dimension, numbers along it
Slices = list[tuple[str, nn.Parameter, int, torch.Tensor]]


def opened(model: Model, paths: list) -> tuple[Model, list[Delta]]:
    """The model that several delta files change, and what they hold."""
    deltas = [path if isinstance(path, Delta) else Delta.load(path) for path in paths]
    if len({delta.about["kv"] for delta in deltas}) > 1:
        raise UserError(
            f"Of {', '.join(map(str, paths))} some have kv='group' and some kv='expand'; take"
            " deltas of one kind."
        )
    return [base_of(model, delta, path) for delta, path in zip(deltas, paths, strict=True)][
        0
    ], deltas


def head_slices(model: Model, head: tuple[int, int], names: dict[int, str]) -> Slices:
    """A head's numbers, biases and the key/value rows that it shares included."""
    found = []
    for part in linear_slices(model, [head]):
        module = part.linear.module
        found.append((names[id(module.weight)], module.weight, part.dim, part.index))
        if not part.columns and module.bias is not None:
            found.append((names[id(module.bias)], module.bias, 0, part.index))
    return found


def gathered(changes: dict[str, torch.Tensor], slices: Slices) -> torch.Tensor:
    """Those numbers' changes as one vector; 0 where a delta did not touch them."""
    found = [
        (
            changes[name].index_select(dim, index).flatten()
            if name in changes
            else torch.zeros(
                parameter.numel() // parameter.shape[dim] * len(index), dtype=torch.float64
            )
        )
        for name, parameter, dim, index in slices
    ]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def row(layer: int | None, head: int | str, first: torch.Tensor, second: torch.Tensor) -> dict:
    norms = first.norm().item(), second.norm().item()
    cosine = (first @ second).item() / (norms[0] * norms[1]) if all(norms) else None
    return {"layer": layer, "head": head, "first": norms[0], "second": norms[1], "cosine": cosine}


def head_changes(model: Model, path) -> list[dict]:
    """How much one tuning changed each head of `model`, the one before it: rows {"layer", "head",
    "change", "of"}, the Euclidean norms of the change and of the numbers before it, of the parts
    that `compare_deltas` lists. One more row, layer None and head "norms".
    """
    base, (delta,) = opened(model, [path])
    changes = delta.changes(base)
    names = {id(parameter): name for name, parameter in base.hf.named_parameters()}
    before = {
        name: parameter.detach().cpu().double()
        for name, parameter in base.hf.named_parameters()
        if name in changes
    }
    owned = {head: head_slices(base, head, names) for head in base.heads} | {
        (None, "norms"): norm_slices(base, names)
    }
    return [
        {
            "layer": layer,
            "head": head,
            "change": gathered(changes, slices).norm().item(),
            "of": gathered(before, slices).norm().item(),
        }
        for (layer, head), slices in owned.items()
    ]


def norm_slices(model: Model, names: dict[int, str]) -> Slices:
    return [
        (names[id(value)], value, 0, torch.arange(len(value))) for value in norm_parameters(model)
    ]


def compare_deltas(model: Model, first, second) -> list[dict]:
    """How much two tunings of one model changed each head, and whether in the same direction.
    `model`: before tuning; the others are files.

    Rows {"layer", "head", "first", "second", "cosine"}: Euclidean norms of the change of the head's
    Q, K, V rows (biases included; key/value rows shared by a group count for each of its heads) and
    output columns. Two more rows with layer None: head "norms" and head "rest" (whatever no head
    and no norm owns). The cosine is None where either did not change. UserError for deltas of
    another model.
    """
    base, deltas = opened(model, [first, second])
    a, b = (delta.changes(base) for delta in deltas)
    names = {id(parameter): name for name, parameter in base.hf.named_parameters()}
    owned = {head: head_slices(base, head, names) for head in base.heads}
    norms = norm_slices(base, names)
    rows = [row(*head, gathered(a, slices), gathered(b, slices)) for head, slices in owned.items()]
    rows.append(row(None, "norms", gathered(a, norms), gathered(b, norms)))
    rest = []
    for changes in (a, b):
        left = {
            name: changes[name].clone() if name in changes else torch.zeros_like(value)
            for name, value in (a | b).items()
        }
        for name, _, dim, index in [one for slices in [*owned.values(), norms] for one in slices]:
            if name in left:
                left[name].index_fill_(dim, index, 0.0)
        rest.append(torch.cat([value.flatten() for value in left.values()]))
    return [*rows, row(None, "rest", *rest)]


def add_deltas(model: Model, paths: Iterable, to) -> Delta:
    """One delta whose changes are the sum of several deltas' of one model written to `to`.

    `model`: before tuning. A parameter keeps its slices where each delta touches slices of it along
    one dimension, else it is kept whole (LoRA adapters too). UserError for deltas of another model,
    or none.
    """
    paths = list(paths)
    if not paths:
        raise UserError("There is no delta to add; give at least one file.")
    base, deltas = opened(model, paths)
    total: dict[str, torch.Tensor] = {}
    for delta in deltas:
        for name, change in delta.changes(base).items():
            total[name] = total[name] + change if name in total else change
    tensors, own = {}, dict(base.hf.named_parameters())
    for name, change in total.items():
        new = (own[name].detach().cpu().double() + change).to(own[name].dtype)
        found = [delta.index(name) for delta in deltas if name in delta.names]
        if None in found or len({dim for dim, _ in found}) > 1:
            tensors[name] = new
        else:
            dim, index = found[0][0], torch.cat([index for _, index in found]).unique()
            tensors |= {
                f"{name}:values": new.index_select(dim, index),
                f"{name}:{SIDES[dim]}": index.to(torch.int32),
            }
    out = Delta(
        {
            "base": model.fingerprint,
            "what": " + ".join(delta.about["what"] for delta in deltas),
            "kv": deltas[0].about["kv"],
        },
        tensors,
    )
    out.save(to)
    return out
