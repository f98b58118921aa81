"""Label-balanced means of every head (CT-SFT, arXiv 2601.08146, section 3).

mu[layer, head] is the mean of z over each example's real tokens, then over the examples of each
label, then over the labels: unequal counts of the labels do not tilt it, and padding never enters.
`positions="readout"` uses the readout's z instead.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save_file

from ctsft.attribution.pool import Resources, rows_as_tokens
from ctsft.attribution.score_config import POSITIONS
from ctsft.cache.entry import Entry
from ctsft.data.task import Example, Task
from ctsft.model.attention import tapped
from ctsft.model.batching import Batch
from ctsft.model.fingerprint import model_identity
from ctsft.model.forward import readout_logits
from ctsft.model.loading import as_model
from ctsft.model.memory_plan import forward_batches
from ctsft.model.model import Model
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError
from ctsft.utils.tensor_files import TensorFile

Progress = Callable[[float, float], None]  # progress(done, total)


@dataclass(frozen=True)
class Means:
    """Means of z: `values` [layer, head, d_head], and the same shape for each label; float32 on the
    CPU.
    """

    values: torch.Tensor
    by_label: dict[str, torch.Tensor]
    counts: dict[str, int]  # examples of each label
    positions: str = "all"
    # what a reader should know of how they were computed; not saved
    notes: list[str] = field(default_factory=list)

    def check(self, model: Model) -> None:
        """Raises UserError if these are not the means of a model of this shape."""
        shape = (model.n_layers, model.n_heads, model.d_head)
        if tuple(self.values.shape) != shape:
            raise UserError(
                f"The means have the shape {tuple(self.values.shape)}, and this model needs"
                f" {shape}; compute them with this model."
            )

    def save(self, path) -> None:
        """A safetensors file: `balanced`, and `label:NAME` for each label."""
        with atomic_path(path, "the means") as part:
            save_file(
                {"balanced": self.values}
                | {f"label:{name}": value for name, value in self.by_label.items()},
                part,
                # JSON preserves the labels' order
                {"means": json.dumps({"positions": self.positions, "counts": self.counts})},
            )

    @classmethod
    def load(cls, path) -> "Means":
        """The means that `save` wrote. UserError for any other file."""
        file = TensorFile(
            path, "The means file", "give the means.safetensors of a `python -m ctsft score`"
        )
        said, tensors = file.read("means", MeansFile)
        names = {label: f"label:{label}" for label in said.counts}
        file.need_names(tensors, ("balanced", *names.values()))
        file.need_shape("balanced", tensors["balanced"], (None, None, None))
        for name, value in tensors.items():
            file.need_shape(name, value, tensors["balanced"].shape)
            file.need_finite(name, value)
        by_label = {label: tensors[name] for label, name in names.items()}
        return cls(tensors["balanced"], by_label, said.counts, said.positions)


class MeansFile(BaseModel):
    """The description in a file of means."""

    model_config = ConfigDict(extra="forbid")
    positions: Literal["all", "readout"]
    counts: dict[str, Annotated[int, Field(gt=0)]] = Field(min_length=1)


def position_mask(batch: Batch, positions: str | None) -> torch.Tensor:
    """The real positions of each text, or for "readout" its readout alone, [batch, pos] bool."""
    if positions != "readout":
        return batch.real
    every = torch.arange(batch.ids.shape[1], device=batch.ids.device)
    return every == batch.readout[:, None]


@torch.no_grad()
def label_balanced_means(
    model,
    task: Task,
    pool: list[Example],
    positions: str = "all",
    progress: Progress | None = None,
    **resources,
) -> Means:
    """Means of every head over `pool`, balanced and for each label.

    `resources` are the fields of `Resources`: `cache` stores the means on disk, and returns stored
    ones for the same question (`notes` say so); `max_memory` is bytes, or text such as "4GB", that
    the process may use at its peak. Raises UserError for a pool in which one of the task's labels
    is missing.
    """
    model, may = as_model(model), Resources(**resources)
    check_pool(task, pool, positions)
    entry = cache_entry(model, task, pool, positions) if may.cache else None
    stored = entry.read() if entry else None
    if stored:
        if progress:
            progress(len(pool), len(pool))
        tensors, fields = stored
        by_label = zip(task.labels, tensors["by_label"], strict=True)
        return Means(
            tensors["balanced"],
            {label: value.clone() for label, value in by_label},
            label_counts(task, pool),
            positions,
            [fields["note"]],
        )
    means = compute_means(model, task, pool, positions, progress, may.max_memory)
    if entry:
        by_label = torch.stack(list(means.by_label.values()))
        entry.write({"balanced": means.values, "by_label": by_label})
    return means


def label_counts(task: Task, pool: list[Example]) -> dict[str, int]:
    return {label: sum(row.label == label for row in pool) for label in task.labels}


def check_pool(task: Task, pool: list[Example], positions: str) -> None:
    if positions not in POSITIONS:
        raise UserError(
            f"{positions!r} is not a choice of positions; choose from {', '.join(POSITIONS)}."
        )
    absent = [label for label, count in label_counts(task, pool).items() if not count]
    if absent:
        raise UserError(
            f"None of the {len(pool)} examples of the pool is labelled {absent[0]!r};"
            " label-balanced means need every label."
        )


def cache_entry(model: Model, task: Task, pool: list[Example], positions: str) -> Entry:
    return Entry(
        "means",
        model_identity(model),
        {"task": task.name, "what": f"{positions}, {len(pool)} texts"},
        {
            "rows": rows_as_tokens(model, task, pool),
            "labels": len(task.labels),
            "positions": positions,
        },
        label_balanced_means,
    )


def compute_means(
    model: Model,
    task: Task,
    pool: list[Example],
    positions: str,
    progress: Progress | None,
    max_memory: int | str | None,
) -> Means:
    shape = (len(task.labels), model.n_layers, model.n_heads, model.d_head)
    sums = torch.zeros(shape, dtype=torch.float64)
    gold = torch.tensor([task.labels.index(row.label) for row in pool])
    done = 0
    encoded = [task.encode(model, row) for row in pool]
    for batch in forward_batches(model, encoded, max_memory=max_memory):
        example_means = mean_z(model, batch, positions)
        sums.index_add_(0, gold[batch.index], example_means.double().cpu())
        done += len(batch.index)
        if progress:
            progress(done, len(pool))
    counts = label_counts(task, pool)
    by_label = {label: sums[i] / counts[label] for i, label in enumerate(task.labels)}
    balanced = torch.stack(list(by_label.values())).mean(0)
    by_label = {label: value.float() for label, value in by_label.items()}
    return Means(balanced.float(), by_label, counts, positions)


def mean_z(model: Model, batch: Batch, positions: str) -> torch.Tensor:
    """The mean of z over the positions of each text, [batch, layer, head, d_head]."""
    mask = position_mask(batch, positions)
    # [batch, pos, 1, 1]
    weight = (mask / mask.sum(1, keepdim=True))[..., None, None]
    layers: list[torch.Tensor] = []

    def collect(call, z):
        # [batch, head, d_head]
        layers.append((z * weight.to(z.device)).sum(1).cpu())
        return z

    with tapped(collect):
        readout_logits(model.hf, batch)
    return torch.stack(layers, 1)
