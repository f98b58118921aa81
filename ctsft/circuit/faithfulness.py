"""Faithfulness: how much of the task a circuit does alone, when every other head gives its mean
(CT-SFT, arXiv 2601.08146; CD-T, arXiv 2407.00886).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ctsft.attribution.means import Means
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.data.task import Example, Task
from ctsft.model.attention import tapped
from ctsft.model.evaluation import direction_weights, finite_logits
from ctsft.model.forward import readout_logits
from ctsft.model.loading import as_model
from ctsft.model.memory_plan import forward_batches
from ctsft.model.model import Model
from ctsft.utils import distributed
from ctsft.utils.errors import UserError

PADDING_SHARE = 0.25  # of a batch, at most: batches of every circuit are few and large


@dataclass(frozen=True)
class Faithfulness:
    """(m(circuit) - m(empty)) / (m(full) - m(empty)) for m = accuracy and m = mean margin (in
    logits); NaN where full and empty agree.

    `raw[which][m]`: which of circuit, empty, full; measured on `n` rows.
    """

    raw: dict[str, dict[str, float]]
    n: int

    def ratio(self, measure: str) -> float:
        empty = self.raw["empty"][measure]
        span = self.raw["full"][measure] - empty
        return (self.raw["circuit"][measure] - empty) / span if span else float("nan")

    @property
    def accuracy(self) -> float:
        return self.ratio("accuracy")

    @property
    def margin(self) -> float:
        return self.ratio("margin")


@dataclass(frozen=True)
class RowResults:
    """What a set of heads does on each row: right (0 or 1) and margin, in logits; both [n]."""

    right: np.ndarray
    margin: np.ndarray

    def mean(self) -> dict[str, float]:
        return {"accuracy": float(self.right.mean()), "margin": float(self.margin.mean())}


@dataclass(frozen=True)
class CircuitMeter:
    """Measures the task on `rows` when only some heads of a model work. Holds the results of sets
    of heads that were measured before.
    """

    model: Model
    task: Task
    rows: list[Example]
    means: Means

    def __post_init__(self):
        object.__setattr__(self, "_measured", {})

    def row_results(self, heads) -> RowResults:
        """What a set of heads does on each row; see `ablated`."""
        key = frozenset(heads)
        if key not in self._measured:
            self._measured[key] = ablated(self.model, self.task, key, self.rows, self.means)
        return self._measured[key]

    def measure(self, heads) -> dict[str, float]:
        """Accuracy and mean margin of a set of heads."""
        return self.row_results(heads).mean()

    def faithfulness(self, heads) -> Faithfulness:
        sets = {"circuit": heads, "empty": (), "full": self.model.heads}
        raw = {name: self.measure(members) for name, members in sets.items()}
        return Faithfulness(raw, len(self.rows))


@torch.no_grad()
def circuit_logits(
    model: Model, task: Task, heads: frozenset[Head], rows: list[Example], means: Means
) -> torch.Tensor:
    """The labels' logits of each row when every head outside `heads` gives its mean at every
    position, [row, label] float64 on the CPU.
    """
    outside = torch.ones(model.n_layers, model.n_heads, 1, dtype=torch.bool)
    for layer, head in heads:
        outside[layer, head] = False
    outside, mu = outside.to(model.device), means.values.to(model.device, model.dtype)
    layer_of = {block.attention: i for i, block in enumerate(model.blocks)}

    def replace_outside(call, z):
        layer = layer_of[call.module]
        return torch.where(outside[layer].to(z.device), mu[layer].to(z.device), z)

    tokens = list(task.label_ids(model).values())
    encoded = [task.encode(model, row) for row in rows]
    logits = torch.zeros(len(rows), len(tokens), dtype=torch.float64)
    for batch in distributed.local_share(list(forward_batches(model, encoded, PADDING_SHARE))):
        with tapped(replace_outside):
            of_batch = readout_logits(model.hf, batch)[:, tokens].float().cpu()
        finite_logits(of_batch, model.dtype)
        logits[batch.index] = of_batch.double()
    return distributed.sum_over_processes(logits, model.device)


def gold_labels(task: Task, rows: list[Example]) -> torch.Tensor:
    """The number of each row's correct label, [row]."""
    return torch.tensor([task.labels.index(row.label) for row in rows])


def ablated(
    model: Model, task: Task, heads: frozenset[Head], rows: list[Example], means: Means
) -> RowResults:
    """Whether each of `rows` is answered correctly, and its margin (gold logit minus the mean of
    the others), when every head outside `heads` gives its mean at every position.
    """
    logits = circuit_logits(model, task, heads, rows, means)
    gold = gold_labels(task, rows)
    right = (logits.argmax(-1) == gold).double()
    margin = (logits * direction_weights(gold, logits.shape[1]).double()).sum(-1)
    return RowResults(right.numpy(), margin.numpy())


def faithfulness(
    model, task: Task, circuit: Circuit, rows: list[Example], means: Means
) -> Faithfulness:
    """How much of the task the circuit alone does on `rows`. Raises UserError for a circuit of
    another model, and without rows.
    """
    model = as_model(model)
    circuit.check(model)
    check_rows(rows)
    return CircuitMeter(model, task, rows, means).faithfulness(circuit.heads)


def check_rows(rows: list[Example]) -> None:
    if not rows:
        raise UserError("There are no rows to measure faithfulness on; give at least one.")


def faithfulness_curve(
    model,
    task: Task,
    scores: Scores,
    rows: list[Example],
    means: Means,
    sizes: list[int],
    n_random: int = 10,
) -> Iterator[dict]:
    """Faithfulness by size: for each size a row for the ranking's first heads, and one for each of
    `n_random` random circuits.

    Rows: {"size", "kind": "ranked" | "random", "seed", "accuracy", "margin", "raw"}. Raises
    UserError without rows.
    """
    model = as_model(model)
    check_rows(rows)
    meter = CircuitMeter(model, task, rows, means)
    for size in sizes:
        circuits = [("ranked", 0, select(scores, "top", k=size))]
        # all circuits of no head, or of every head, are the same
        for seed in range(n_random if 0 < size < len(model.heads) else 0):
            circuits.append(("random", seed, select(scores, "random", k=size, seed=seed)))
        for kind, seed, circuit in circuits:
            report = meter.faithfulness(circuit.heads)
            yield {
                "size": size,
                "kind": kind,
                "seed": seed,
                "accuracy": report.accuracy,
                "margin": report.margin,
                "raw": report.raw["circuit"],
            }
