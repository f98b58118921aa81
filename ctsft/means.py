"""The discovery set and the label-balanced means of every head (CT-SFT, arXiv 2601.08146, section 3; METHOD "label-balanced means").

mu[layer, head] is the mean of z over each example's real tokens, then over the examples of each label, then over the
labels: unequal counts cannot tilt it, and padding never enters. `positions="readout"` takes the readout's z instead.
"""
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ctsft.answers import predict
from ctsft.errors import UserError
from ctsft.loading import as_model
from ctsft.tasks import Example, Task
from ctsft.trace import batches, readout_logits, tapped

POSITIONS = ("all", "readout")
Progress = Callable[[float, float], None]            # progress(done, total)


@dataclass(frozen=True)
class Means:
    """`values` [layer, head, d_head] and, for each label, the same shape; float32 on the CPU."""
    values: torch.Tensor
    by_label: dict[str, torch.Tensor]
    counts: dict[str, int]                            # examples of each label
    positions: str = "all"

    def save(self, path):
        save_file({"balanced": self.values} | {f"label:{name}": value for name, value in self.by_label.items()}, path,
                  {"means": json.dumps({"positions": self.positions, "counts": self.counts})})     # JSON keeps the labels' order

    @classmethod
    def load(cls, path) -> "Means":
        with safe_open(path, "pt") as file:
            words = json.loads(file.metadata()["means"])
            by_label = {name: file.get_tensor(f"label:{name}") for name in words["counts"]}
            return cls(file.get_tensor("balanced"), by_label, **words)


def quotas(labels: tuple[str, ...], size: int) -> dict[str, int]:
    """Equal numbers per label, as near as `size` allows; the first labels take what is over."""
    return {label: size // len(labels) + (i < size % len(labels)) for i, label in enumerate(labels)}


def discovery_set(model, task: Task, rows: list[Example], size: int = 50, seed: int = 0) -> list[Example]:
    """`size` correctly predicted examples, label-balanced, drawn from `rows` with a seed.

    Raises UserError when a label has too few correctly predicted rows.
    """
    model, wanted = as_model(model), quotas(task.labels, size)
    if size < len(task.labels):
        raise UserError(f"A discovery set of {size} cannot hold each of the {len(task.labels)} labels; ask for at least {len(task.labels)}.")
    absent = [label for label in task.labels if not any(row.label == label for row in rows)]
    if absent:
        raise UserError(f"The {len(rows)} rows hold no example of {', '.join(map(repr, absent))}; discovery needs every label: "
                        f"{', '.join(task.labels)}. Use another split or a larger file.")
    found: dict[str, list[Example]] = {label: [] for label in task.labels}
    order = random.Random(seed).sample(rows, len(rows))
    for start in range(0, len(order), 64):            # only as many predictions as are needed
        chunk = [row for row in order[start:start + 64] if len(found[row.label]) < wanted[row.label]]
        for row, label in zip(chunk, predict(model, task, chunk), strict=True):
            if row.label == label and len(found[label]) < wanted[label]:
                found[label].append(row)
        if all(len(found[label]) == wanted[label] for label in task.labels):
            return [row for label in task.labels for row in found[label]]
    short = min(task.labels, key=lambda label: len(found[label]) - wanted[label])
    most = min(len(found[label]) for label in task.labels) * len(task.labels)
    raise UserError(f"Only {len(found[short])} of the {wanted[short]} examples needed of {short!r} are predicted correctly among {len(rows)} rows; "
                    + (f"ask for a discovery set of {most}, give more rows, or" if most else "give more rows, or")
                    + " tune the model on the source language first (competence tuning).")


@torch.no_grad()
def label_balanced_means(model, task: Task, pool: list[Example], positions: str = "all", progress: Progress | None = None) -> Means:
    """Means of every head over `pool`, balanced and per label. Raises UserError for a pool without one of the task's labels."""
    model = as_model(model)
    if positions not in POSITIONS:
        raise UserError(f"{positions!r} is not a choice of positions; choose from {', '.join(POSITIONS)}.")
    counts = {label: sum(row.label == label for row in pool) for label in task.labels}
    absent = [label for label, count in counts.items() if not count]
    if absent:
        raise UserError(f"The pool of {len(pool)} examples holds none labelled {absent[0]!r}; label-balanced means need every label.")
    sums = torch.zeros(len(task.labels), model.n_layers, model.n_heads, model.d_head, dtype=torch.float64)
    gold, done = torch.tensor([task.labels.index(row.label) for row in pool]), 0
    for batch in batches(model, [task.encode(model, row) for row in pool]):
        weight = batch.real if positions == "all" else torch.arange(batch.ids.shape[1], device=model.device) == batch.readout[:, None]
        weight = (weight / weight.sum(1, keepdim=True))[..., None, None]                  # [batch, pos, 1, 1]
        layers: list[torch.Tensor] = []

        def keep(call, z, weight=weight, layers=layers):
            layers.append((z * weight).sum(1))                                            # [batch, head, d_head]
            return z
        with tapped(keep):
            readout_logits(model.hf, batch)
        sums.index_add_(0, gold[batch.index], torch.stack(layers, 1).double().cpu())      # [batch, layer, head, d_head]
        done += len(batch.index)
        if progress:
            progress(done, len(pool))
    by_label = {label: (sums[i] / counts[label]) for i, label in enumerate(task.labels)}
    balanced = torch.stack(list(by_label.values())).mean(0)
    return Means(balanced.float(), {label: value.float() for label, value in by_label.items()}, counts, positions)
