"""Deltas: files that hold only the numbers that moved, and belong to one model.

    delta.safetensors    <parameter>                            a parameter that moved whole
                         <parameter>:values, :rows | :columns   slices of it along its first | second dimension, int32 numbers beside them
                         <parameter>:left, :right               a LoRA adapter's factors, whose product is added to the parameter
                         stack<i>                               parameters of one length that moved whole (norms), row by row
                         metadata "delta": JSON, base (fingerprint of the model before tuning), what, kv, and stacks: the names in
                                           each stack, with spaces (one key: safetensors writes several in any order)

Values are the new ones, not differences, so a delta gives the tuned model to the bit; adapters are
kept as such, because their merged difference would be as large as the matrices. `deltas` compares
and adds them.
"""

import json
from dataclasses import dataclass, field

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ctsft.model.kv_expansion import expand
from ctsft.model.model import Model
from ctsft.tuning.trainable import Trainable, linear_slices, whole_parameters
from ctsft.utils.errors import UserError

SIDES = ("rows", "columns")


@dataclass(frozen=True)
class Delta:
    """What moved. about: {"base": fingerprint, "what": in a word, "kv": "group" | "expand"};
    tensors as in the file.
    """

    about: dict
    tensors: dict[str, torch.Tensor] = field(repr=False)

    @property
    def size(self) -> int:
        """How many numbers moved."""
        return sum(
            value.numel() for name, value in self.tensors.items() if not name.endswith(SIDES)
        )

    def save(self, path):
        tensors, words = stacked(
            {name: value.detach().cpu() for name, value in self.tensors.items()}
        )
        save_file(
            {name: value.contiguous().clone() for name, value in tensors.items()},
            path,
            {"delta": json.dumps(self.about | {"stacks": words})},
        )

    @classmethod
    def load(cls, path) -> "Delta":
        """UserError when the file is not there or is no delta."""
        try:
            with safe_open(path, "pt") as file:
                words = file.metadata() or {}
            about, tensors = json.loads(words["delta"]), load_file(path)
            rows = {
                name: value
                for stack, names in about.pop("stacks").items()
                for name, value in zip(names.split(" "), tensors.pop(stack), strict=True)
            }
            return cls(about, rows | tensors)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise UserError(
                f"{str(path)!r} is not a delta ({type(error).__name__}); give a delta.safetensors"
                " of a fine-tuning run."
            ) from None

    @property
    def names(self) -> list[str]:
        """Parameters that are touched."""
        return list(dict.fromkeys(name.partition(":")[0] for name in self.tensors))

    def index(self, name: str) -> tuple[int, torch.Tensor] | None:
        """Dimension and numbers of a parameter's slices, int64; None where it moved whole or by an
        adapter.
        """
        return next(
            (
                (dim, self.tensors[f"{name}:{side}"].long())
                for dim, side in enumerate(SIDES)
                if f"{name}:{side}" in self.tensors
            ),
            None,
        )

    @torch.no_grad()
    def write(self, model: Model):
        """Put the numbers in; every other one keeps its bits."""
        own = dict(model.hf.named_parameters())
        for name in self.names:
            parameter, index = own[name], self.index(name)
            like = {"device": parameter.device, "dtype": parameter.dtype}
            if name in self.tensors:
                parameter.copy_(self.tensors[name])
            elif index:
                parameter.index_copy_(
                    index[0],
                    index[1].to(parameter.device),
                    self.tensors[f"{name}:values"].to(**like),
                )
            else:
                parameter += self.tensors[f"{name}:left"].to(**like) @ self.tensors[
                    f"{name}:right"
                ].to(**like)

    def changes(self, model: Model) -> dict[str, torch.Tensor]:
        """{parameter: new minus old}, float64 on the CPU, in the parameter's shape; `model` is the
        one before tuning.
        """
        found, own = {}, dict(model.hf.named_parameters())
        for name in self.names:
            old, index = own[name].detach().cpu().double(), self.index(name)
            if name in self.tensors:
                found[name] = self.tensors[name].double() - old
            elif index:
                found[name] = torch.zeros_like(old).index_add_(
                    *index, self.tensors[f"{name}:values"].double() - old.index_select(*index)
                )
            else:
                found[name] = (
                    self.tensors[f"{name}:left"].double() @ self.tensors[f"{name}:right"].double()
                )
        return found


def stacked(tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Whole vectors of one length and format as the rows of one tensor, and their names: a file's
    header costs 100 bytes a tensor.
    """
    groups: dict[tuple, list[str]] = {}
    for name, value in tensors.items():
        if ":" not in name and value.ndim == 1:
            groups.setdefault((len(value), value.dtype), []).append(name)
    stacks = {
        f"stack{i}": names
        for i, names in enumerate(names for names in groups.values() if len(names) > 1)
    }
    inside = {name for names in stacks.values() for name in names}
    rest = {name: value for name, value in tensors.items() if name not in inside}
    return (
        {stack: torch.stack([tensors[name] for name in names]) for stack, names in stacks.items()}
        | rest,
        {stack: " ".join(names) for stack, names in stacks.items()},
    )


def taken(model: Model, moves: Trainable, adapted: dict[str, torch.Tensor], about: dict) -> Delta:
    """The delta of a tuned model; parameters that moved whole are the model's own, not copies."""
    names = {id(parameter): name for name, parameter in model.hf.named_parameters()}
    tensors = {
        names[id(parameter)]: parameter.detach() for parameter in whole_parameters(model, moves)
    }
    for part in [] if moves.everything or moves.adapted else linear_slices(model, moves.heads):
        module, index = part.linear.module, part.index.to(torch.int32)
        sliced = [(module.weight, part.dim)] + (
            [] if part.columns or module.bias is None else [(module.bias, 0)]
        )
        for parameter, dim in sliced:
            name = names[id(parameter)]
            if name not in tensors:
                values = parameter.detach().index_select(dim, part.index.to(parameter.device))
                tensors |= {f"{name}:values": values, f"{name}:{SIDES[dim]}": index}
    return Delta(about, tensors | adapted)


def base_of(model: Model, delta: Delta, path) -> Model:
    """The model a delta's numbers go into: itself, or an equal one with expanded key/value rows.
    UserError for a foreign delta.
    """
    if model.fingerprint != delta.about["base"]:
        raise UserError(
            f"The delta {path} belongs to a model with the fingerprint {delta.about['base']}, and"
            f" this model's is {model.fingerprint}; load the model it was tuned from."
        )
    return expand(model) if delta.about["kv"] == "expand" else model


def apply_delta(model: Model, path) -> Model:
    """Put the numbers of a delta file into the model it was tuned from; UserError for any other
    model.

    Returns the tuned model: the one given, changed in place, or for a delta of kv="expand" an equal
    one with expanded key/value rows (the one given then stays as it is).
    """
    delta = Delta.load(path)
    tuned = base_of(model, delta, path)
    delta.write(tuned)
    return tuned
