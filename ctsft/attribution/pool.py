"""The discovery set: label-balanced, all correctly predicted (CT-SFT, arXiv 2601.08146)."""

import random

import torch

from ctsft.cache.entry import Entry
from ctsft.data.task import Example, Task
from ctsft.model.evaluation import predict
from ctsft.model.fingerprint import model_identity
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.utils.errors import UserError


def seen(model: Model, task: Task, rows: list[Example]) -> list:
    """Rows as the model sees them: prompt token ids and the number of the gold label."""
    return [[task.encode(model, row), task.labels.index(row.label)] for row in rows]


def quotas(labels: tuple[str, ...], size: int) -> dict[str, int]:
    """Equal numbers per label, as near as `size` allows; the first labels take what is over."""
    return {label: size // len(labels) + (i < size % len(labels)) for i, label in enumerate(labels)}


def discovery_set(
    model,
    task: Task,
    rows: list[Example],
    size: int = 50,
    seed: int = 0,
    cache: bool = False,
    max_memory: int | str | None = None,
) -> list[Example]:
    """`size` correctly predicted examples, label-balanced, drawn from `rows` with a seed. `cache`
    remembers which they were;
    `max_memory`: bytes, or words such as "4GB", that the process may use at its peak.

    Raises UserError when a label has too few correctly predicted rows.
    """
    model, wanted = as_model(model), quotas(task.labels, size)
    if size < len(task.labels):
        raise UserError(
            f"A discovery set of {size} cannot hold each of the {len(task.labels)} labels; ask for"
            f" at least {len(task.labels)}."
        )
    absent = [label for label in task.labels if not any(row.label == label for row in rows)]
    if absent:
        raise UserError(
            f"The {len(rows)} rows hold no example of {', '.join(map(repr, absent))}; discovery"
            f" needs every label: {', '.join(task.labels)}. Use another split or a larger file."
        )
    entry = (
        Entry(
            "pools",
            model_identity(model),
            {"task": task.name, "what": f"{size} of {len(rows)} texts"},
            {
                "rows": seen(model, task, rows),
                "labels": list(task.label_ids(model).values()),
                "size": size,
                "seed": seed,
            },
            discovery_set,
        )
        if cache
        else None
    )
    kept = entry.read() if entry else None
    if kept:
        return [rows[i] for i in kept[0]["index"].tolist()]
    found: dict[str, list[int]] = {label: [] for label in task.labels}
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    for start in range(0, len(order), 64):  # only as many predictions as are needed
        chunk = [
            i
            for i in order[start : start + 64]
            if len(found[rows[i].label]) < wanted[rows[i].label]
        ]
        for i, label in zip(
            chunk, predict(model, task, [rows[i] for i in chunk], max_memory), strict=True
        ):
            if rows[i].label == label and len(found[label]) < wanted[label]:
                found[label].append(i)
        if all(len(found[label]) == wanted[label] for label in task.labels):
            chosen = [i for label in task.labels for i in found[label]]
            if entry:
                entry.write({"index": torch.tensor(chosen)})
            return [rows[i] for i in chosen]
    short = min(task.labels, key=lambda label: len(found[label]) - wanted[label])
    most = min(len(found[label]) for label in task.labels) * len(task.labels)
    raise UserError(
        f"Only {len(found[short])} of the {wanted[short]} examples needed of {short!r} are"
        f" predicted correctly among {len(rows)} rows; "
        + (
            f"ask for a discovery set of {most}, give more rows, or"
            if most
            else "give more rows, or"
        )
        + " tune the model on the source language first (competence tuning)."
    )
