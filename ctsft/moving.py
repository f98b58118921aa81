"""Which numbers move in circuit-targeted tuning, and how they are kept apart from all that must not.

For each head of the circuit: its rows of Q, K and V (weights and biases) and its columns of the output projection; and
the gain and bias of every norm (CT-SFT, arXiv 2601.08146). Key/value rows are shared by a group of query heads:
`kv="group"` moves them if any head of the group is in the circuit; `kv="expand"` counts as if each query head owned its
own (the paper's counting).

While `moving_parts` is open the model's matrices are frozen and the moving slices stand beside them as small
parameters, which forward hooks put in place. So the optimiser never sees a protected number: weight decay, momentum
and clipping cannot reach it, and gradients and optimiser state are as small as the circuit.
"""
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ctsft.errors import UserError
from ctsft.models import Linear, Model
from ctsft.relevance import Head

KV = ("group", "expand")


@dataclass(frozen=True)
class Part:
    """Slices of one linear module: some output features (`rows`, with their biases), or some input features (`columns`)."""
    linear: Linear                       # the whole module
    index: torch.Tensor                  # int64
    columns: bool

    @property
    def values(self) -> torch.Tensor:    # [len(index), in], or [out, len(index)] for columns; a copy
        return self.linear.weight[:, self.index] if self.columns else self.linear.weight[self.index]

    @property
    def bias(self) -> torch.Tensor | None:
        return None if self.columns or self.linear.bias is None else self.linear.bias[self.index]

    @property
    def size(self) -> int:
        fan = self.linear.weight.shape[0 if self.columns else 1]
        return len(self.index) * (fan + (not self.columns and self.linear.bias is not None))

    @torch.no_grad()
    def write(self, values, bias):
        """Put values into the module; every other number keeps its bits."""
        weight = self.linear.module.weight
        dim = (0 if self.linear.transposed else 1) if self.columns else (1 if self.linear.transposed else 0)
        weight.index_copy_(dim, self.index.to(weight.device), values.T if self.linear.transposed else values)
        if bias is not None:
            self.linear.module.bias.index_copy_(0, self.index.to(weight.device), bias)


def parts(model: Model, heads: Iterable[Head]) -> list[Part]:
    """The slices that move with these heads, key/value rows by group, one part a module."""
    rows: dict[nn.Module, set[int]] = {}
    columns: dict[nn.Module, set[int]] = {}
    d = model.d_head
    for layer, head in sorted(heads):
        block, group = model.blocks[layer], head // (model.n_heads // model.n_kv_heads)
        for linear, number in ((block.q, head), (block.k, group), (block.v, group)):
            rows.setdefault(linear.module, set()).update(linear.features(number * d, (number + 1) * d))
        columns.setdefault(block.o.module, set()).update(range(head * d, (head + 1) * d))
    return [Part(Linear(module), torch.tensor(sorted(index)), is_columns)
            for table, is_columns in ((rows, False), (columns, True)) for module, index in table.items()]


def norm_parameters(model: Model) -> list[nn.Parameter]:
    """Gain and bias of every norm."""
    norms = model.architecture.norms
    return [parameter for norm in norms for parameter in norm.module.parameters()]


def touched(model: Model, heads: Iterable[Head]) -> set[Head]:
    """Heads outside the circuit whose key/value rows move because a head of their group is inside (kv="group")."""
    heads = set(heads)
    return {(layer, other) for layer, head in heads for other in model.kv_group(head)} - heads


def trainable(model: Model, heads: Iterable[Head], kv: str = "group") -> int:
    """How many numbers move: heads' slices and norms."""
    if kv not in KV:
        raise UserError(f"{kv!r} is not a way to treat key/value rows; choose from {', '.join(KV)}.")
    norms = sum(parameter.numel() for parameter in norm_parameters(model))
    if kv == "group":
        return norms + sum(part.size for part in parts(model, heads))
    return norms + sum(part.size for head in set(heads) for part in one_head(model, head))


def one_head(model: Model, head: Head) -> list[Part]:
    """A head's own slices, its key/value rows counted as its own."""
    return parts(model, [head])


def trainable_share(hf_model, heads: Iterable[Head], kv: str = "group") -> float:
    """Share of a Hugging Face model's numbers that a circuit would move, 0 to 1; works on a meta-device model too.

    kv="expand" is the paper's counting: every head with key/value rows of its own, over the original model's size.
    """
    model = Model(hf_model, None)
    return trainable(model, map(tuple, heads), kv) / model.n_params


class Moving(nn.Module):
    """The moving slices as parameters. `named` tells where each belongs."""

    def __init__(self, found: list[Part]):
        super().__init__()
        self.found = found
        self.weights = nn.ParameterList(part.values.detach().clone() for part in found)
        self.biases = nn.ParameterDict({str(i): part.bias.detach().clone() for i, part in enumerate(found) if part.bias is not None})

    def bias(self, i: int):
        return self.biases.get(str(i), None)

    def hook(self, i: int):
        """The forward hook that makes module i compute with the moving values."""
        part, weight, bias = self.found[i], self.weights[i], self.bias(i)
        index, start = part.index.to(weight.device), weight.detach().clone()

        def rows(module, args, output):
            return output.index_copy(-1, index, F.linear(args[0], weight, bias))

        def columns(module, args, output):
            return output + F.linear(args[0][..., index], weight - start)
        return columns if part.columns else rows

    def write(self):
        for i, part in enumerate(self.found):
            part.write(self.weights[i].detach(), None if self.bias(i) is None else self.bias(i).detach())


@contextmanager
def moving_parts(model: Model, what: Iterable[Head] | str) -> Iterator[nn.Module]:
    """Within, exactly the numbers of `what` (heads, "norms" or "full") have gradients; after it they stand in the model.

    Yields the Hugging Face model, whose `parameters()` that require gradients are what moves.
    """
    if isinstance(what, str) and what not in ("norms", "full"):
        raise UserError(f"{what!r} is not something that can move; give a circuit, 'norms' or 'full'.")
    hf, heads = model.hf, () if isinstance(what, str) else what
    hf.requires_grad_(what == "full")
    for parameter in norm_parameters(model):
        parameter.requires_grad_(True)
    moving = Moving(parts(model, heads))
    hf.add_module("moving", moving)
    hooks = [part.linear.module.register_forward_hook(moving.hook(i)) for i, part in enumerate(moving.found)]
    try:
        yield hf
    finally:
        for hook in hooks:
            hook.remove()
        del hf.moving
        moving.write()
        hf.requires_grad_(False)
