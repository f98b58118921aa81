"""Deltas: only the parameters that were trained, which belong to one model (`delta_file`: how they
are stored).

Values are the new ones, not differences, so a delta gives the tuned model to the bit. Adapters are
stored as factors, because their merged difference would be as large as the matrices.
`delta_comparison` compares and adds deltas.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch

from ctsft.attribution.scores import Head
from ctsft.model.kv_expansion import expand
from ctsft.model.model import Model
from ctsft.tuning.delta_file import SIDES, delta_file, read_delta, write_delta
from ctsft.tuning.float32_copies import training_dtype
from ctsft.tuning.shares import Factors, Share, along, check_share, head_factors, mix
from ctsft.tuning.trainable import Trainable, head_slices, linear_slices, whole_parameters
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.tensor_files import TensorFile


@dataclass(frozen=True)
class Applied:
    """Values of one parameter before and after tuning: of the whole (dim None), or of the slices
    `index` along a dimension.
    """

    name: str
    dim: int | None
    index: torch.Tensor  # int64
    old: torch.Tensor
    new: torch.Tensor

    @torch.no_grad()
    def write(self, parameter: torch.Tensor) -> torch.Tensor:
        """Write the new values into the parameter, or into a copy of it; returns it."""
        if self.dim is None:
            return parameter.copy_(self.new)
        return parameter.index_copy_(self.dim, self.index, self.new)


@dataclass(frozen=True)
class Delta:
    """What was trained.

    about: {"base": fingerprint, "what": recipe, "kv": "group" | "expand"}, and "share" and
    "head_shares" where only a part is applied. tensors: as in the file, without stacks.
    """

    about: dict
    tensors: dict[str, torch.Tensor] = field(repr=False)

    @property
    def size(self) -> int:
        """How many values it holds, indices not counted."""
        return sum(
            value.numel() for name, value in self.tensors.items() if not name.endswith(SIDES)
        )

    def save(self, path):
        """Write the file; the same delta gives the same bytes."""
        write_delta(path, self.about, self.tensors)

    @classmethod
    def load(cls, path) -> "Delta":
        """UserError when the file does not exist or is not a delta."""
        return cls(*read_delta(path))

    def fit(self, model: Model, file: TensorFile):
        """UserError where a tensor does not fit the parameter of the model that it is for."""
        parameters = dict(model.hf.named_parameters())
        for name in self.names:
            if name not in parameters:
                raise file.refusal(f"the model has no parameter {quoted(name)}")
            shape, index = list(parameters[name].shape), self.index(name)
            if name in self.tensors:
                file.need_shape(name, self.tensors[name], shape)
            elif index:
                dim, indices = index
                if dim >= len(shape) or indices.max() >= shape[dim]:
                    raise file.refusal(f"{quoted(name)} is smaller than the delta's indices say")
                shape[dim] = len(indices)
                file.need_shape(f"{name}:values", self.tensors[f"{name}:values"], shape)
            else:
                left, right = (self.tensors[f"{name}:{side}"] for side in ("left", "right"))
                file.need_shape(f"{name}:left", left, (shape[0], None))
                file.need_shape(f"{name}:right", right, (left.shape[1], *shape[1:]))

    @property
    def names(self) -> list[str]:
        """Parameters that were trained, whole or in part."""
        return list(dict.fromkeys(name.partition(":")[0] for name in self.tensors))

    def index(self, name: str) -> tuple[int, torch.Tensor] | None:
        """Dimension and int64 indices of a parameter's slices; None where it was trained whole or
        by an adapter.
        """
        for dim, side in enumerate(SIDES):
            if f"{name}:{side}" in self.tensors:
                return dim, self.tensors[f"{name}:{side}"].long()
        return None

    def scaled(self, share: Share) -> "Delta":
        """A delta that applies a share of this one's change: of all of it, or {(layer, head):
        share}, where all else is applied as here. UserError for a share outside 0 to 1.
        """
        check_share(share)
        about = dict(self.about)
        if isinstance(share, Mapping):
            before = about.get("head_shares", {})
            shares = {f"{layer}.{head}": value for (layer, head), value in share.items()}
            about["head_shares"] = before | {
                name: value * before.get(name, 1.0) for name, value in shares.items()
            }
        else:
            about["share"] = about.get("share", 1.0) * share
        return Delta(about, self.tensors)

    def factors(self, model: Model) -> Factors:
        """How much of the change each of the parameters gets; without those that get all of it."""
        share, shares = self.about.get("share", 1.0), {}
        for name, value in self.about.get("head_shares", {}).items():
            layer, _, head = name.partition(".")
            shares[int(layer), int(head)] = value
        factors = head_factors(model, shares, self.trained_heads(model)) if shares else {}
        if share != 1.0:
            for name, parameter in model.hf.named_parameters():
                dim, values = factors.get(name, (0, torch.ones(parameter.shape[0])))
                factors[name] = dim, values * share
        return {name: factors[name] for name in self.names if name in factors}

    def trained_heads(self, model: Model) -> set[Head]:
        """The heads whose own query rows are among what was trained, whole or in part."""
        names = {id(parameter): name for name, parameter in model.hf.named_parameters()}
        heads = set()
        for layer, head in model.heads:
            query = head_slices(model, layer, head)[0][0]
            name = names[id(query.linear.module.weight)]
            index = self.index(name) if name in self.names else (0, torch.tensor([]))
            if index is None or torch.isin(query.index, index[1]).any():
                heads.add((layer, head))
        return heads

    def new_values(self, name: str, old: torch.Tensor) -> torch.Tensor:
        """What tuning made of a parameter, or of its slices; old: the values before."""
        like = {"device": old.device, "dtype": old.dtype}
        for saved in (name, f"{name}:values"):
            if saved in self.tensors:
                return self.tensors[saved].to(**like)
        # the sum is rounded once, as it is stored
        like["dtype"] = training_dtype(old.dtype)
        left = self.tensors[f"{name}:left"].to(**like)
        return old.to(like["dtype"]) + left @ self.tensors[f"{name}:right"].to(**like)

    def applied(self, model: Model) -> Iterator["Applied"]:
        """What the delta makes of each parameter of the model, which is the one before tuning and
        is not changed.
        """
        parameters, factors = dict(model.hf.named_parameters()), self.factors(model)
        for name in self.names:
            parameter, place = parameters[name].detach(), self.index(name)
            dim, index = place or (0, torch.arange(len(parameter)))
            index = index.to(parameter.device)
            old = parameter.index_select(dim, index) if place else parameter
            new = self.new_values(name, old)
            if name in factors:
                scaled, factor = factors[name]
                factor = along(factor, scaled, parameter)
                if factor.shape[dim] > 1:
                    factor = factor.index_select(dim, index)
                new = mix(old, new, factor)
            yield Applied(name, dim if place else None, index, old, new)

    @torch.no_grad()
    def write(self, model: Model):
        """Write the values into the model, which is the one before tuning; all other parameters
        keep their bits.
        """
        parameters = dict(model.hf.named_parameters())
        for one in self.applied(model):
            one.write(parameters[one.name])

    def values_in(self, model: Model) -> "Delta":
        """The model's present values of what this delta changes; writing them undoes it. Adapted
        parameters are taken whole.
        """
        tensors, parameters = {}, dict(model.hf.named_parameters())
        for name in self.names:
            parameter, place = parameters[name].detach(), self.index(name)
            if place is None:
                tensors[name] = parameter.clone()
                continue
            dim, index = place
            tensors[f"{name}:{SIDES[dim]}"] = index.to(torch.int32)
            values = parameter.index_select(dim, index.to(parameter.device))
            tensors[f"{name}:values"] = values.clone()
        about = {key: self.about[key] for key in ("base", "what", "kv")}
        return Delta(about, tensors)

    def changes(self, model: Model) -> dict[str, torch.Tensor]:
        """{parameter: new minus old}, float64 on the CPU, in the parameter's shape. `model`: the
        one before tuning.
        """
        changes, parameters = {}, dict(model.hf.named_parameters())
        factors = self.factors(model)
        for name in self.names:
            old, index = parameters[name].detach().cpu().double(), self.index(name)
            if name in self.tensors:
                changes[name] = self.tensors[name].double() - old
            elif index:
                change = self.tensors[f"{name}:values"].double() - old.index_select(*index)
                changes[name] = torch.zeros_like(old).index_add_(*index, change)
            else:
                left = self.tensors[f"{name}:left"].double()
                changes[name] = left @ self.tensors[f"{name}:right"].double()
            if name in factors:
                dim, factor = factors[name]
                changes[name] *= along(factor, dim, old)
        return changes


def delta_of(
    model: Model, trainable: Trainable, factors: dict[str, torch.Tensor], about: dict
) -> Delta:
    """The delta of a tuned model. factors: of its LoRA adapters (`lora.Adapted`). Parameters that
    were trained whole are the model's tensors, not copies.
    """
    names = {id(parameter): name for name, parameter in model.hf.named_parameters()}
    tensors = {
        names[id(parameter)]: parameter.detach() for parameter in whole_parameters(model, trainable)
    }
    named = dict(model.hf.named_parameters())
    for name, part in trainable.parts.items():
        if len(part.index):
            values = named[name].detach().index_select(part.dim, part.index.to(named[name].device))
            tensors |= {
                f"{name}:values": values,
                f"{name}:{SIDES[part.dim]}": part.index.to(torch.int32),
            }
    sliced = not (trainable.everything or trainable.adapted)
    for part in linear_slices(model, trainable.heads) if sliced else []:
        module, index = part.linear.module, part.index.to(torch.int32)
        parameters = [(module.weight, part.dim)]
        if not part.columns and module.bias is not None:
            parameters.append((module.bias, 0))
        for parameter, dim in parameters:
            name = names[id(parameter)]
            if name not in tensors:
                values = parameter.detach().index_select(dim, part.index.to(parameter.device))
                tensors |= {f"{name}:values": values, f"{name}:{SIDES[dim]}": index}
    return Delta(about, tensors | factors)


def delta_base(model: Model, delta: Delta, path) -> Model:
    """The model that a delta's values are written into: `model`, or an equal one with expanded
    key/value rows. UserError for a delta of another model.
    """
    if model.fingerprint != delta.about["base"]:
        raise UserError(
            f"The delta {path} belongs to a model with the fingerprint {delta.about['base']}, and"
            f" this model's is {model.fingerprint}; load the model it was tuned from."
        )
    base = expand(model) if delta.about["kv"] == "expand" else model
    delta.fit(base, delta_file(path))
    return base


def apply_delta(model: Model, path, share: Share = 1.0) -> Model:
    """Write the values of a delta file into the model that was tuned, or a share of the change:
    w0 + share * (w1 - w0), for all of it or {(layer, head): share} (WiSE-FT, arXiv 2109.01903).

    Returns the tuned model: `model`, changed in place, or for a delta of kv="expand" an equal one
    with expanded key/value rows (`model` then stays as it is). With share 1 it is the tuned
    model to the bit, with 0 the one before. UserError for a file that is not a delta, a delta of
    another model, or a share outside 0 to 1.
    """
    check_share(share)
    delta = Delta.load(path)
    tuned = delta_base(model, delta, path)
    delta.scaled(share).write(tuned)
    return tuned


def scale_delta(path, share: Share, to) -> Delta:
    """Write a delta that applies a share of the change of the delta file `path` to the file `to`:
    of all of it, or {(layer, head): share}. The model is not needed: the file says which share.
    UserError for a file that is not a delta, or a share outside 0 to 1.
    """
    scaled = Delta.load(path).scaled(share)
    scaled.save(to)
    return scaled
