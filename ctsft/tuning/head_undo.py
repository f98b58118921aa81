"""Undoing single heads of a finished change: which of them cost the source much and the target
little.

Undoing head h takes its change d_h out of the tuned weights w. To first order

    regained(h) = g_source . d_h        by how much the source's mean loss falls, in nats
    lost(h)     = - g_target . d_h      by how much the target's mean loss rises

with the gradients g of both losses at w. Key/value rows that a group of heads shares are counted
for each of its trained heads in equal parts; they are given back with the last of them (`shares`).
Heads are ordered by what they regain for what they lose, and the first ones are measured.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from ctsft.attribution.scores import Head
from ctsft.data.task import Example, Task
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.model.model import Model
from ctsft.tuning.delta import Delta, scale_delta
from ctsft.tuning.gradients import Gradients, mean_gradient
from ctsft.tuning.trainable import LinearSlice, head_slices, linear_slices
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name

Progress = Callable[[float, float], None]

BATCH = 16  # rows whose loss is measured at once


@dataclass(frozen=True)
class HeadEffect:
    """What undoing one head does: the source's mean loss falls by `regained`, the target's rises by
    `lost`, in nats. measured: by undoing it, or else to first order.
    """

    head: Head
    regained: float
    lost: float
    measured: bool = False

    @property
    def price(self) -> tuple[int, float]:
        """The sort key: what regains the source at no loss first, then by the loss for each nat
        that is regained, and last what regains nothing.
        """
        if self.regained <= 0:
            return 2, self.lost - self.regained
        if self.lost <= 0:
            return 0, self.lost - self.regained
        return 1, self.lost / self.regained


def undo_heads(path, heads: Iterable[Head], to) -> Delta:
    """Write a delta that is the delta file `path` without the change of these heads, to the file
    `to`. Shared key/value rows are given back with the last trained head of their group. The model
    is not needed. UserError for a file that is not a delta, and without heads.
    """
    return scale_delta(path, undone(heads), to)


def undone(heads: Iterable[Head]) -> dict[Head, float]:
    """The shares of a change that undo these heads. UserError without any."""
    shares = {(int(layer), int(head)): 0.0 for layer, head in heads}
    if not shares:
        raise UserError("No head to undo is named; name at least one, such as L2.H1.")
    return shares


class Undoing:
    """A model before tuning, and the delta whose heads are undone in it. The model is changed in
    place; `write` sets it to the tuned one without some heads.
    """

    def __init__(self, checkpoint: Model, delta: Delta, task: Task):
        self.model, self.delta, self.task = checkpoint, delta, task
        self.start = delta.values_in(checkpoint)
        self.trained = sorted(delta.trained_heads(checkpoint))
        if not self.trained:
            raise UserError("This run trained no head, so there is none to undo.")

    @torch.no_grad()
    def write(self, heads: Iterable[Head] = ()) -> Model:
        """The tuned model without the change of these heads. UserError for a head that was not
        trained.
        """
        heads = list(heads)
        other = sorted(set(heads) - set(self.trained))
        if other:
            raise UserError(
                f"{head_name(other[0])} was not trained by this run, so there is nothing to undo;"
                f" it trained {', '.join(map(head_name, self.trained[:8]))}"
                f"{' and others' if len(self.trained) > 8 else ''}."
            )
        self.start.write(self.model)
        (self.delta.scaled(undone(heads)) if heads else self.delta).write(self.model)
        self.model.mark_changed()
        return self.model

    def size(self, heads: Iterable[Head]) -> int:
        """How many trained numbers undoing these heads gives back."""
        heads = set(heads)
        remaining = [head for head in self.trained if head not in heads]
        return self.slice_numbers(self.trained) - self.slice_numbers(remaining)

    def slice_numbers(self, heads: Iterable[Head]) -> int:
        """How many numbers of the slices of these heads were trained."""
        names = {id(value): name for name, value in self.model.hf.named_parameters()}
        total = 0
        for part in linear_slices(self.model, heads):
            weight = part.linear.module.weight
            inside = self.delta.index(names[id(weight)])
            along = len(part.index)
            across = weight.numel() // weight.shape[part.dim]
            if inside is not None and inside[0] == part.dim:
                along = int(torch.isin(part.index, inside[1]).sum())
            elif inside is not None:
                across = len(inside[1])
            total += along * across
            bias = part.linear.module.bias
            if not part.columns and bias is not None and names[id(bias)] in self.delta.names:
                total += len(part.index)
        return total

    @torch.no_grad()
    def loss(self, rows: list[Example]) -> float:
        """The rows' mean cross-entropy of the label token at the readout, in nats."""
        tokens, total = self.task.label_ids(self.model), 0.0
        by_length = sorted(rows, key=lambda row: len(row.text))
        for start in range(0, len(by_length), BATCH):
            some = by_length[start : start + BATCH]
            batch = pad(
                [self.task.encode(self.model, row) for row in some],
                self.model.device,
                reads_first=self.model.architecture.reads_first,
            )
            gold = torch.tensor([tokens[row.label] for row in some], device=self.model.device)
            logits = readout_logits(self.model.hf, batch)
            wide = torch.promote_types(logits.dtype, torch.float32)
            total += F.cross_entropy(logits.to(wide), gold, reduction="sum").item()
        return total / len(rows)

    def effects(self, source: list[Example], target: list[Example]) -> list[HeadEffect]:
        """The effect of undoing each trained head to first order, cheapest first."""
        self.start.write(self.model)
        changes = self.delta.changes(self.model)
        self.write()
        gradients = Gradients(self.model, self.task)
        losses = [mean_gradient(gradients, rows) for rows in (source, target)]
        names = {id(value): name for name, value in self.model.hf.named_parameters()}
        products = [
            {
                id(parameter): gradient.cpu() * changes[names[id(parameter)]]
                for parameter, gradient in zip(gradients.parameters, values, strict=True)
                if names[id(parameter)] in changes
            }
            for values in losses
        ]
        effects = []
        for head in self.trained:
            regained, lost = (self.head_sum(head, product) for product in products)
            effects.append(HeadEffect(head, regained, -lost))
        return sorted(effects, key=lambda one: one.price)

    def head_sum(self, head: Head, products: Mapping[int, torch.Tensor]) -> float:
        """The sum over the numbers of a head, its part of shared ones included."""
        slices, group = head_slices(self.model, *head)
        sharing = {(head[0], other) for other in self.model.kv_group(head[1])} & {*self.trained}
        total = sum(slice_sum(part, products) for part in slices)
        return total + sum(slice_sum(part, products) for part in group) / len(sharing)

    def measured(
        self,
        effects: list[HeadEffect],
        source: list[Example],
        target: list[Example],
        progress: Progress = lambda done, total: None,
    ) -> list[HeadEffect]:
        """The same effects, each measured by undoing that head alone, cheapest first.
        progress(done, total): after each head.
        """
        self.write()
        before = self.loss(source), self.loss(target)
        measured = []
        for one in effects:
            self.write([one.head])
            after = self.loss(source), self.loss(target)
            measured.append(
                replace(
                    one,
                    regained=before[0] - after[0],
                    lost=after[1] - before[1],
                    measured=True,
                )
            )
            progress(len(measured), len(effects))
        return sorted(measured, key=lambda one: one.price)


def slice_sum(part: LinearSlice, products: Mapping[int, torch.Tensor]) -> float:
    """The sum over the numbers of a slice."""
    module, total = part.linear.module, 0.0
    if id(module.weight) in products:
        total += products[id(module.weight)].index_select(part.dim, part.index).sum().item()
    if not part.columns and module.bias is not None and id(module.bias) in products:
        total += products[id(module.bias)][part.index].sum().item()
    return total
