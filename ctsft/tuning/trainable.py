"""Which parameters of a model a tuning run trains, and how many there are.

For each head of the circuit: its rows of Q, K and V (weights and biases) and its columns of the
output projection; beside the heads, the gain and bias of every norm (CT-SFT, arXiv 2601.08146).
Key/value rows are shared by a group of query heads. With `kv="group"` they are trained if any head
of the group is in the circuit; with `kv="expand"` only those of the circuit's heads are, in an
equal model in which each query head owns its rows (`kv_expansion.expand`; the paper's counting).

`masked_training` trains them and protects everything else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
from torch import nn

from ctsft.attribution.scores import Head
from ctsft.model.architecture import Linear
from ctsft.model.model import Model
from ctsft.utils.errors import UserError

KV = ("group", "expand")


@dataclass(frozen=True)
class Part:
    """The part of a parameter that is trained: these indices along one dimension of it."""

    dim: int
    index: torch.Tensor  # int64, rising; none: nothing of the parameter is trained


@dataclass(frozen=True)
class Trainable:
    """What is trained: the slices of `heads`; the gain and bias of each norm if `norms`; parameters
    whose names match a pattern of `extra` (fnmatch); or `everything`. Layers in `adapted` get LoRA
    adapters instead (`lora.adapters`).

    mask: a name of `parameter_masks.MASKS`, by which `parts` are chosen from rows when the run
    starts. parts: {parameter: the part of it that is trained}, where it is not trained whole.
    """

    heads: frozenset[Head] = frozenset()
    norms: bool = True
    everything: bool = False
    extra: tuple[str, ...] = ()
    adapted: tuple[int, ...] = ()
    name: str = "circuit"  # of the recipe, as the delta records it
    mask: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class LinearSlice:
    """A slice of one linear module: some output features (rows, with their biases), or some input
    features (columns, without a bias).
    """

    linear: Linear  # the whole module
    index: torch.Tensor  # int64, the features
    columns: bool

    @property
    def values(self) -> torch.Tensor:
        """A copy: [len(index), in] for rows, [out, len(index)] for columns."""
        weight = self.linear.weight  # [out, in]
        return weight[:, self.index] if self.columns else weight[self.index]

    @property
    def bias(self) -> torch.Tensor | None:  # [len(index)]
        if self.columns or self.linear.bias is None:
            return None
        return self.linear.bias[self.index]

    @property
    def dim(self) -> int:
        """The dimension of the weight, as the module stores it, that `index` counts along."""
        return int(self.columns) ^ int(self.linear.transposed)

    @property
    def size(self) -> int:
        """How many parameters the slice has, biases included."""
        fan = self.linear.weight.shape[0 if self.columns else 1]
        has_bias = not self.columns and self.linear.bias is not None
        return len(self.index) * (fan + has_bias)

    @torch.no_grad()
    def write(self, values: torch.Tensor | None, bias: torch.Tensor | None):
        """Write values (None: leave them) into the module, rounded to its number format; all others
        keep their bits.
        """
        weight = self.linear.module.weight
        index = self.index.to(weight.device)
        if values is not None:
            values = values.T if self.linear.transposed else values
            weight.index_copy_(self.dim, index, values.to(weight.dtype))
        if bias is not None:
            self.linear.module.bias.index_copy_(0, index, bias.to(weight.dtype))


def linear_slices(model: Model, heads: Iterable[Head]) -> list[LinearSlice]:
    """The slices that are trained with these heads, key/value rows by group; at most one of rows
    and one of columns for each module.
    """
    rows: dict[nn.Module, set[int]] = {}
    columns: dict[nn.Module, set[int]] = {}
    d_head = model.d_head
    for layer, head in sorted(heads):
        block, group = model.blocks[layer], head // (model.n_heads // model.n_kv_heads)
        for linear, number in ((block.q, head), (block.k, group), (block.v, group)):
            features = linear.output_features(number * d_head, (number + 1) * d_head)
            rows.setdefault(linear.module, set()).update(features)
        columns.setdefault(block.o.module, set()).update(range(head * d_head, (head + 1) * d_head))
    return [
        LinearSlice(Linear(module), torch.tensor(sorted(index)), is_columns)
        for table, is_columns in ((rows, False), (columns, True))
        for module, index in table.items()
    ]


def head_slices(model: Model, layer: int, head: int) -> tuple[list[LinearSlice], list[LinearSlice]]:
    """The slices of the head alone (query rows, output columns), and those that it shares with its
    key/value group.
    """
    block, d_head = model.blocks[layer], model.d_head
    group = head // (model.n_heads // model.n_kv_heads)

    def rows(linear, number: int) -> LinearSlice:
        features = linear.output_features(number * d_head, (number + 1) * d_head)
        index = torch.as_tensor(list(features))
        return LinearSlice(Linear(linear.module), index, columns=False)

    features = torch.arange(head * d_head, (head + 1) * d_head)
    columns = LinearSlice(Linear(block.o.module), features, columns=True)
    return [rows(block.q, head), columns], [rows(block.k, group), rows(block.v, group)]


def norm_parameters(model: Model) -> list[nn.Parameter]:
    """Gain and bias of every norm."""
    norms = model.architecture.norms
    return [parameter for norm in norms for parameter in norm.module.parameters()]


def matching_parameters(model: Model, patterns: Iterable[str]) -> list[nn.Parameter]:
    """Parameters whose names match a pattern, each once; UserError for one without a match."""
    named = dict(model.hf.named_parameters(remove_duplicate=False))
    matches: dict[int, nn.Parameter] = {}
    for pattern in patterns:
        names = [name for name in named if fnmatchcase(name, pattern)]
        if not names:
            example = max(named, key=lambda name: name.count("."))
            raise UserError(
                f"No parameter's name matches {pattern!r}; this model has names such as"
                f" {example!r}: write a pattern such as '*.{example.split('.', 3)[-1]}'."
            )
        matches |= {id(named[name]): named[name] for name in names}
    return list(matches.values())


def whole_parameters(model: Model, trainable: Trainable) -> list[nn.Parameter]:
    """Parameters that are trained whole, each once."""
    if trainable.everything:
        named = model.hf.named_parameters()
        return [value for name, value in named if name not in trainable.parts]
    norms = norm_parameters(model) if trainable.norms and not trainable.adapted else []
    parameters = [*norms, *matching_parameters(model, trainable.extra)]
    return list({id(parameter): parameter for parameter in parameters}.values())


def heads_sharing_kv(model: Model, heads: Iterable[Head]) -> set[Head]:
    """Heads outside the circuit whose key/value rows are trained too, because a head of their group
    is in the circuit (kv="group").
    """
    heads = set(heads)
    return {(layer, other) for layer, head in heads for other in model.kv_group(head)} - heads


def trainable_count(
    model: Model, heads: Iterable[Head], kv: str = "group", norms: bool = True
) -> int:
    """How many parameters are trained: the heads' slices, and the norms.

    With kv="expand" every head counts with key/value rows of its own. UserError for another `kv`.
    """
    if kv not in KV:
        raise UserError(
            f"{kv!r} is not a way to treat key/value rows; choose from {', '.join(KV)}."
        )
    if kv == "group":
        slices = linear_slices(model, heads)
        norm_size = sum(parameter.numel() for parameter in norm_parameters(model))
    else:
        slices = [part for head in set(heads) for part in linear_slices(model, [head])]
        norm_size = expanded_norm_size(model)
    return norms * norm_size + sum(part.size for part in slices)


def expanded_norm_size(model: Model) -> int:
    """Parameters of all norms once each query head has its own keys: a norm over all keys together
    (OLMo 2) is then wider.
    """
    widened = [
        block.k_norm
        for block in model.blocks
        for norm in block.norms
        if norm is block.k_norm and len(norm.gain) != model.d_head
    ]
    added = sum(norm.gain.numel() for norm in widened) * (model.n_heads // model.n_kv_heads - 1)
    return sum(parameter.numel() for parameter in norm_parameters(model)) + added


def trainable_share(hf_model, heads: Iterable[Head], kv: str = "group") -> float:
    """Share of a Hugging Face model's parameters that a circuit and all norms would train, 0 to 1.

    Works on a meta-device model too. kv="expand" is the paper's counting (CT-SFT): every head with
    key/value rows of its own, over the original model's size. UserError for another `kv`.
    """
    model = Model(hf_model, None)
    return trainable_count(model, map(tuple, heads), kv) / model.n_params
