"""The discovery set and the label-balanced means of every head (CT-SFT, arXiv 2601.08146, section
3; METHOD "label-balanced means").

mu[layer, head] is the mean of z over each example's real tokens, then over the examples of each
label, then over the labels: unequal counts cannot tilt it, and padding never enters.
`positions="readout"` takes the readout's z instead.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ctsft.attribution.pool import seen
from ctsft.cache.entry import Entry
from ctsft.data.task import Example, Task
from ctsft.model.attention import tapped
from ctsft.model.fingerprint import model_identity
from ctsft.model.forward import readout_logits
from ctsft.model.loading import as_model
from ctsft.model.memory_plan import forward_batches
from ctsft.utils.errors import UserError

POSITIONS = ("all", "readout")
Progress = Callable[[float, float], None]  # progress(done, total)


@dataclass(frozen=True)
class Means:
    """`values` [layer, head, d_head] and, for each label, the same shape; float32 on the CPU."""

    values: torch.Tensor
    by_label: dict[str, torch.Tensor]
    counts: dict[str, int]  # examples of each label
    positions: str = "all"
    # what a reader should know of how they came about; not saved
    notes: list[str] = field(default_factory=list)

    def save(self, path):
        save_file(
            {"balanced": self.values}
            | {f"label:{name}": value for name, value in self.by_label.items()},
            path,
            # JSON keeps the labels' order
            {"means": json.dumps({"positions": self.positions, "counts": self.counts})},
        )

    @classmethod
    def load(cls, path) -> "Means":
        with safe_open(path, "pt") as file:
            words = json.loads(file.metadata()["means"])
            by_label = {name: file.get_tensor(f"label:{name}") for name in words["counts"]}
            return cls(file.get_tensor("balanced"), by_label, **words)


@torch.no_grad()
def label_balanced_means(
    model,
    task: Task,
    pool: list[Example],
    positions: str = "all",
    progress: Progress | None = None,
    cache: bool = False,
    max_memory: int | str | None = None,
) -> Means:
    """Means of every head over `pool`, balanced and per label. Raises UserError for a pool without
    one of the task's labels. `cache` keeps them on disk, and answers from there what was asked
    before (`notes` say so); `max_memory` bounds the process's peak.
    """
    model = as_model(model)
    if positions not in POSITIONS:
        raise UserError(
            f"{positions!r} is not a choice of positions; choose from {', '.join(POSITIONS)}."
        )
    counts = {label: sum(row.label == label for row in pool) for label in task.labels}
    absent = [label for label, count in counts.items() if not count]
    if absent:
        raise UserError(
            f"The pool of {len(pool)} examples holds none labelled {absent[0]!r}; label-balanced"
            " means need every label."
        )
    entry = (
        Entry(
            "means",
            model_identity(model),
            {"task": task.name, "what": f"{positions}, {len(pool)} texts"},
            {"rows": seen(model, task, pool), "labels": len(task.labels), "positions": positions},
            label_balanced_means,
        )
        if cache
        else None
    )
    kept = entry.read() if entry else None
    if kept:
        if progress:
            progress(len(pool), len(pool))
        by_label = {
            label: value.clone()
            for label, value in zip(task.labels, kept[0]["by_label"], strict=True)
        }
        return Means(kept[0]["balanced"], by_label, counts, positions, [kept[1]["note"]])
    sums = torch.zeros(
        len(task.labels), model.n_layers, model.n_heads, model.d_head, dtype=torch.float64
    )
    gold, done = torch.tensor([task.labels.index(row.label) for row in pool]), 0
    for batch in forward_batches(
        model, [task.encode(model, row) for row in pool], max_memory=max_memory
    ):
        weight = (
            batch.real
            if positions == "all"
            else torch.arange(batch.ids.shape[1], device=model.device) == batch.readout[:, None]
        )
        # [batch, pos, 1, 1]
        weight = (weight / weight.sum(1, keepdim=True))[..., None, None]
        layers: list[torch.Tensor] = []

        def keep(call, z, weight=weight, layers=layers):
            # [batch, head, d_head]
            layers.append((z * weight.to(z.device)).sum(1).cpu())
            return z

        with tapped(keep):
            readout_logits(model.hf, batch)
        # [batch, layer, head, d_head]
        sums.index_add_(0, gold[batch.index], torch.stack(layers, 1).double().cpu())
        done += len(batch.index)
        if progress:
            progress(done, len(pool))
    by_label = {label: sums[i] / counts[label] for i, label in enumerate(task.labels)}
    balanced = torch.stack(list(by_label.values())).mean(0)
    means = Means(
        balanced.float(),
        {label: value.float() for label, value in by_label.items()},
        counts,
        positions,
    )
    if entry:
        entry.write(
            {"balanced": means.values, "by_label": torch.stack(list(means.by_label.values()))}
        )
    return means
