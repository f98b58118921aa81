"""Which numbers move in circuit-targeted tuning, and how they are kept apart from all that must
not.

For each head of the circuit: its rows of Q, K and V (weights and biases) and its columns of the
output projection; and the gain and bias of every norm (CT-SFT, arXiv 2601.08146). Key/value rows
are shared by a group of query heads: `kv="group"` moves them if any head of the group is in the
circuit; `kv="expand"` moves the circuit's only, in an equal model in which each query head owns its
rows (`expansion.expand`; the paper's counting).

While `masked_training` is open the model's matrices are frozen and the trained slices stand beside
them as small parameters, which forward hooks put in place. So the optimiser never sees a protected
number: weight decay, momentum and clipping cannot reach it, and gradients and optimiser state are
as small as the circuit.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.nn import functional as F

from ctsft.attribution.scores import Head
from ctsft.model.architecture import Linear
from ctsft.model.model import Model
from ctsft.utils.errors import UserError

KV = ("group", "expand")


@dataclass(frozen=True)
class Trainable:
    """What is to move: heads' slices, `norms` (gain and bias of each), parameters whose names match
    a pattern of `extra` (fnmatch), or `everything`. `adapted` layers get LoRA adapters instead
    (`lora.adapters`).
    """

    heads: frozenset[Head] = frozenset()
    norms: bool = True
    everything: bool = False
    extra: tuple[str, ...] = ()
    adapted: tuple[int, ...] = ()
    name: str = "circuit"  # of the recipe, for the record


@dataclass(frozen=True)
class LinearSlice:
    """Slices of one linear module: some output features (`rows`, with their biases), or some input
    features (`columns`).
    """

    linear: Linear  # the whole module
    index: torch.Tensor  # int64
    columns: bool

    @property
    def values(self) -> torch.Tensor:
        # [len(index), in], or [out, len(index)] for columns; a copy
        return self.linear.weight[:, self.index] if self.columns else self.linear.weight[self.index]

    @property
    def bias(self) -> torch.Tensor | None:
        return None if self.columns or self.linear.bias is None else self.linear.bias[self.index]

    @property
    def dim(self) -> int:
        """The dimension of the weight, as the module keeps it, that the index is of."""
        return int(self.columns) ^ int(self.linear.transposed)

    @property
    def size(self) -> int:
        fan = self.linear.weight.shape[0 if self.columns else 1]
        return len(self.index) * (fan + (not self.columns and self.linear.bias is not None))

    @torch.no_grad()
    def write(self, values, bias):
        """Put values (None: leave them) into the module; every other number keeps its bits."""
        weight = self.linear.module.weight
        if values is not None:
            weight.index_copy_(
                self.dim,
                self.index.to(weight.device),
                values.T if self.linear.transposed else values,
            )
        if bias is not None:
            self.linear.module.bias.index_copy_(0, self.index.to(weight.device), bias)


def linear_slices(model: Model, heads: Iterable[Head]) -> list[LinearSlice]:
    """The slices that move with these heads, key/value rows by group, one part a module."""
    rows: dict[nn.Module, set[int]] = {}
    columns: dict[nn.Module, set[int]] = {}
    d = model.d_head
    for layer, head in sorted(heads):
        block, group = model.blocks[layer], head // (model.n_heads // model.n_kv_heads)
        for linear, number in ((block.q, head), (block.k, group), (block.v, group)):
            rows.setdefault(linear.module, set()).update(
                linear.output_features(number * d, (number + 1) * d)
            )
        columns.setdefault(block.o.module, set()).update(range(head * d, (head + 1) * d))
    return [
        LinearSlice(Linear(module), torch.tensor(sorted(index)), is_columns)
        for table, is_columns in ((rows, False), (columns, True))
        for module, index in table.items()
    ]


def norm_parameters(model: Model) -> list[nn.Parameter]:
    """Gain and bias of every norm."""
    norms = model.architecture.norms
    return [parameter for norm in norms for parameter in norm.module.parameters()]


def matched(model: Model, patterns: Iterable[str]) -> list[nn.Parameter]:
    """Parameters whose names match; UserError for a pattern that matches none."""
    named, found = dict(model.hf.named_parameters(remove_duplicate=False)), {}
    for pattern in patterns:
        names = [name for name in named if fnmatchcase(name, pattern)]
        if not names:
            example = max(named, key=lambda name: name.count("."))
            raise UserError(
                f"No parameter's name matches {pattern!r}; this model has names such as"
                f" {example!r}: write a pattern such as '*.{example.split('.', 3)[-1]}'."
            )
        found |= {id(named[name]): named[name] for name in names}
    return list(found.values())


def whole_parameters(model: Model, moves: Trainable) -> list[nn.Parameter]:
    """Parameters of which every number moves, each once."""
    if moves.everything:
        return list(model.hf.parameters())
    norms = norm_parameters(model) if moves.norms and not moves.adapted else []
    return list({id(value): value for value in [*norms, *matched(model, moves.extra)]}.values())


def heads_sharing_kv(model: Model, heads: Iterable[Head]) -> set[Head]:
    """Heads outside the circuit whose key/value rows move because a head of their group is inside
    (kv="group").
    """
    heads = set(heads)
    return {(layer, other) for layer, head in heads for other in model.kv_group(head)} - heads


def trainable_count(
    model: Model, heads: Iterable[Head], kv: str = "group", norms: bool = True
) -> int:
    """How many numbers move: heads' slices and norms."""
    if kv not in KV:
        raise UserError(
            f"{kv!r} is not a way to treat key/value rows; choose from {', '.join(KV)}."
        )
    if kv == "group":
        return norms * sum(parameter.numel() for parameter in norm_parameters(model)) + sum(
            part.size for part in linear_slices(model, heads)
        )
    return norms * expanded_norms(model) + sum(
        part.size for head in set(heads) for part in linear_slices(model, [head])
    )


def expanded_norms(model: Model) -> int:
    """Numbers of all norms once each query head has keys of its own: one norm over all keys
    together (OLMo 2) widens with them.
    """
    widths = [
        (norm, norm is block.k_norm and len(norm.gain) != model.d_head)
        for block in model.blocks
        for norm in block.norms
    ]
    more = sum(norm.gain.numel() for norm, over_all in widths if over_all) * (
        model.n_heads // model.n_kv_heads - 1
    )
    return sum(parameter.numel() for parameter in norm_parameters(model)) + more


def trainable_share(hf_model, heads: Iterable[Head], kv: str = "group") -> float:
    """Share of a Hugging Face model's numbers that a circuit would move, 0 to 1; works on a
    meta-device model too.

    kv="expand" is the paper's counting: every head with key/value rows of its own, over the
    original model's size.
    """
    model = Model(hf_model, None)
    return trainable_count(model, map(tuple, heads), kv) / model.n_params


class TrainedSlices(nn.Module):
    """The trained slices as parameters: `weights` and `biases`, keyed by the slice's number in
    `slices`. Parameters that are trained whole are left out.
    """

    def __init__(self, slices: list[LinearSlice], whole: set[int]):
        super().__init__()
        self.slices = slices
        self.weights, self.biases = nn.ParameterDict(), nn.ParameterDict()
        for i, part in enumerate(slices):
            if id(part.linear.module.weight) not in whole:
                self.weights[str(i)] = part.values.detach().clone()
            if part.bias is not None and id(part.linear.module.bias) not in whole:
                self.biases[str(i)] = part.bias.detach().clone()

    def of(self, i: int) -> tuple[nn.Parameter | None, nn.Parameter | None]:
        """The moving weight and bias of a part; None where there is none."""
        return self.weights.get(str(i), None), self.biases.get(str(i), None)

    def hook(self, i: int):
        """The forward hook that makes module i compute with the moving values."""
        part, (weight, bias) = self.slices[i], self.of(i)
        index = part.index.to(part.linear.module.weight.device)
        start = None if weight is None else weight.detach().clone()

        def rows(module, args, output):
            new = F.linear(
                args[0],
                part.values if weight is None else weight,
                part.bias if bias is None else bias,
            )
            return output.index_copy(-1, index, new.to(output.dtype))

        def columns(module, args, output):
            return output + F.linear(args[0][..., index], weight - start)

        return columns if part.columns else rows

    def write(self):
        for i, part in enumerate(self.slices):
            part.write(*(None if value is None else value.detach() for value in self.of(i)))


@contextmanager
def masked_training(model: Model, what: Trainable | Iterable[Head] | str) -> Iterator[nn.Module]:
    """Within, exactly the numbers of `what` (`Trainable`, heads, "norms" or "full") have gradients;
    after it they stand in the model.

    Yields the Hugging Face model, whose `parameters()` that require gradients are what moves.
    UserError when nothing would.
    """
    if isinstance(what, str) and what not in ("norms", "full"):
        raise UserError(
            f"{what!r} is not something that can move; give a circuit, 'norms' or 'full'."
        )
    moves = (
        what
        if isinstance(what, Trainable)
        else Trainable(everything=what == "full")
        if isinstance(what, str)
        else Trainable(frozenset(what))
    )
    hf, whole = model.hf, whole_parameters(model, moves)
    if not whole and not moves.heads:
        raise UserError(
            "Nothing would move: no head, no norm and no extra parameter; name at least one."
        )
    hf.requires_grad_(False)
    for parameter in whole:
        parameter.requires_grad_(True)
    moving = TrainedSlices(
        [] if moves.everything else linear_slices(model, moves.heads), set(map(id, whole))
    )
    hf.add_module("trained_slices", moving)
    hooks = [
        part.linear.module.register_forward_hook(moving.hook(i))
        for i, part in enumerate(moving.slices)
        if moving.of(i) != (None, None)
    ]
    try:
        yield hf
    finally:
        for hook in hooks:
            hook.remove()
        del hf.trained_slices
        moving.write()
        hf.requires_grad_(False)
        model.mark_changed()
