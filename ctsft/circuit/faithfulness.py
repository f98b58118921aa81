"""Faithfulness: how much of the task a circuit keeps when every other head gives its mean."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ctsft.attribution.means import Means
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.data.task import Example, Task
from ctsft.model.attention import tapped
from ctsft.model.evaluation import direction_weights
from ctsft.model.forward import readout_logits
from ctsft.model.loading import as_model
from ctsft.model.memory_plan import forward_batches
from ctsft.model.model import Model
from ctsft.utils import distributed
from ctsft.utils.errors import UserError


@dataclass(frozen=True)
class Faithfulness:
    """(m(circuit) - m(empty)) / (m(full) - m(empty)) for m = accuracy and m = mean margin; NaN
    where full and empty agree.

    `raw[which][m]`, which in circuit, empty, full. `n` rows.
    """

    raw: dict[str, dict[str, float]]
    n: int

    def ratio(self, measure: str) -> float:
        span = self.raw["full"][measure] - self.raw["empty"][measure]
        return (
            (self.raw["circuit"][measure] - self.raw["empty"][measure]) / span
            if span
            else float("nan")
        )

    @property
    def accuracy(self) -> float:
        return self.ratio("accuracy")

    @property
    def margin(self) -> float:
        return self.ratio("margin")


@torch.no_grad()
def ablated(model: Model, task: Task, heads, rows: list[Example], means: Means) -> dict[str, float]:
    """Accuracy and mean margin when every head outside `heads` gives its mean instead, at every
    position.
    """
    outside = torch.ones(model.n_layers, model.n_heads, 1, dtype=torch.bool)
    for layer, head in heads:
        outside[layer, head] = False
    outside, mu = outside.to(model.device), means.values.to(model.device, model.dtype)
    layer_of = {block.attention: i for i, block in enumerate(model.blocks)}

    def replace_outside(call, z):
        layer = layer_of[call.module]
        return torch.where(outside[layer].to(z.device), mu[layer].to(z.device), z)

    tokens, right, margin = list(task.label_ids(model).values()), 0, 0.0
    gold = torch.tensor([task.labels.index(row.label) for row in rows])
    weights = direction_weights(gold, len(tokens))
    for batch in distributed.local_share(
        list(forward_batches(model, [task.encode(model, row) for row in rows], 0.25))
    ):
        with tapped(replace_outside):
            logits = readout_logits(model.hf, batch)[:, tokens].float().cpu()
        right += (logits.argmax(-1) == gold[batch.index]).sum().item()
        margin += (logits * weights[batch.index]).sum().item()
    right, margin = distributed.sum_over_processes(
        torch.tensor([right, margin], dtype=torch.float64), model.device
    ).tolist()
    return {"accuracy": right / len(rows), "margin": margin / len(rows)}


def faithfulness(
    model, task: Task, circuit: Circuit, rows: list[Example], means: Means
) -> Faithfulness:
    """How much of the task the circuit alone keeps on `rows`. Raises UserError for a circuit of
    another model or no rows.
    """
    model = as_model(model)
    circuit.check(model)
    if not rows:
        raise UserError("There are no rows to measure faithfulness on; give at least one.")
    sets = {"circuit": circuit.heads, "empty": (), "full": model.heads}
    return Faithfulness(
        {name: ablated(model, task, heads, rows, means) for name, heads in sets.items()}, len(rows)
    )


def faithfulness_curve(
    model,
    task: Task,
    scores: Scores,
    rows: list[Example],
    means: Means,
    sizes: list[int],
    n_random: int = 10,
) -> Iterator[dict]:
    """Faithfulness against size: a row for each of the ranking's first `size` heads and for each of
    `n_random` random circuits of that size. Rows: {"size", "kind": "ranked" | "random", "seed",
    "accuracy", "margin"}.
    """
    model = as_model(model)
    ends = {
        "empty": ablated(model, task, (), rows, means),
        "full": ablated(model, task, model.heads, rows, means),
    }
    for size in sizes:
        sets = [("ranked", 0, select(scores, "top", k=size))]
        sets += [
            ("random", seed, select(scores, "random", k=size, seed=seed))
            for seed in range(n_random if 0 < size < len(model.heads) else 0)
        ]
        for kind, seed, circuit in sets:
            report = Faithfulness(
                ends | {"circuit": ablated(model, task, circuit.heads, rows, means)}, len(rows)
            )
            yield {
                "size": size,
                "kind": kind,
                "seed": seed,
                "accuracy": report.accuracy,
                "margin": report.margin,
                "raw": report.raw["circuit"],
            }
