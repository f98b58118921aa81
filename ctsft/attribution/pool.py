"""The discovery set: label-balanced, all correctly predicted (CT-SFT, arXiv 2601.08146)."""

import random
from dataclasses import dataclass

import torch

from ctsft.cache.entry import Entry
from ctsft.data.task import Example, Task
from ctsft.model.evaluation import predict
from ctsft.model.fingerprint import model_identity
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.utils.errors import UserError

PREDICTED_AT_ONCE = 64  # rows, so that not many more are predicted than needed


@dataclass(frozen=True)
class Resources:
    """What a computation may use; nothing of it changes the result."""

    # stored answers to the same question, and a place for a new one
    cache: bool = False
    # at the peak of the process: bytes, or text such as "4GB"; None: what is free
    max_memory: int | str | None = None


def rows_as_tokens(model: Model, task: Task, rows: list[Example]) -> list:
    """Rows as the model sees them: prompt token ids and the number of the gold label."""
    return [[task.encode(model, row), task.labels.index(row.label)] for row in rows]


def quotas(labels: tuple[str, ...], size: int) -> dict[str, int]:
    """Equal numbers for the labels, as near as `size` allows; the first labels get the rest."""
    return {label: size // len(labels) + (i < size % len(labels)) for i, label in enumerate(labels)}


def discovery_set(
    model,
    task: Task,
    rows: list[Example],
    size: int = 50,
    seed: int = 0,
    **resources,
) -> list[Example]:
    """`size` correctly predicted examples, label-balanced, drawn from `rows` with a seed.

    `resources` are the fields of `Resources`: `cache` stores which rows they are; `max_memory` is
    bytes, or text such as "4GB", that the process may use at its peak. Raises UserError when a
    label has too few correctly predicted rows.
    """
    model, may = as_model(model), Resources(**resources)
    check_labels(task, rows, size)
    entry = cache_entry(model, task, rows, size, seed) if may.cache else None
    stored = entry.read() if entry else None
    if stored:
        return [rows[i] for i in stored[0]["index"].tolist()]
    index = draw(model, task, rows, Draw(size, seed, may.max_memory))
    if entry:
        entry.write({"index": torch.tensor(index)})
    return [rows[i] for i in index]


def check_labels(task: Task, rows: list[Example], size: int) -> None:
    if size < len(task.labels):
        raise UserError(
            f"A discovery set of {size} cannot hold each of the {len(task.labels)} labels; ask for"
            f" at least {len(task.labels)}."
        )
    absent = [label for label in task.labels if not any(row.label == label for row in rows)]
    if absent:
        raise UserError(
            f"None of the {len(rows)} rows is labelled {', '.join(map(repr, absent))}; discovery"
            f" needs every label: {', '.join(task.labels)}. Use another split or a larger file."
        )


def cache_entry(model: Model, task: Task, rows: list[Example], size: int, seed: int) -> Entry:
    return Entry(
        "pools",
        model_identity(model),
        {"task": task.name, "what": f"{size} of {len(rows)} texts"},
        {
            "rows": rows_as_tokens(model, task, rows),
            "labels": list(task.label_ids(model).values()),
            "size": size,
            "seed": seed,
        },
        discovery_set,
    )


@dataclass(frozen=True)
class Draw:
    """How a discovery set is drawn."""

    size: int
    seed: int
    max_memory: int | str | None


def draw(model: Model, task: Task, rows: list[Example], how: Draw) -> list[int]:
    """The numbers of the rows of a discovery set, label after label."""
    wanted = quotas(task.labels, how.size)
    correct: dict[str, list[int]] = {label: [] for label in task.labels}
    answers: set[str] = set()
    asked = 0
    order = random.Random(how.seed).sample(range(len(rows)), len(rows))
    for start in range(0, len(order), PREDICTED_AT_ONCE):
        chunk = [
            i
            for i in order[start : start + PREDICTED_AT_ONCE]
            if len(correct[rows[i].label]) < wanted[rows[i].label]
        ]
        predicted = predict(model, task, [rows[i] for i in chunk], how.max_memory)
        answers |= set(predicted)
        asked += len(chunk)
        for i, label in zip(chunk, predicted, strict=True):
            if rows[i].label == label and len(correct[label]) < wanted[label]:
                correct[label].append(i)
        if all(len(correct[label]) == wanted[label] for label in task.labels):
            return [i for label in task.labels for i in correct[label]]
    never = [label for label in task.labels if label not in answers]
    raise never_predicted(never, asked) if never else too_few(wanted, correct, len(rows))


def never_predicted(labels: list[str], asked: int) -> UserError:
    """Why no discovery set can hold every label, and what helps."""
    return UserError(
        f"The model answered {', '.join(map(repr, labels))} for none of {asked} rows, and the"
        " discovery set needs correctly predicted rows of every label; try another prompt or other"
        " label words (a task file), or tune the model on the source language first (competence"
        " tuning)."
    )


def too_few(wanted: dict[str, int], correct: dict[str, list[int]], n_rows: int) -> UserError:
    label = min(wanted, key=lambda label: len(correct[label]) - wanted[label])
    largest = min(map(len, correct.values())) * len(correct)
    advice = "give more rows, or"
    if largest:
        advice = f"ask for a discovery set of {largest}, {advice}"
    return UserError(
        f"Only {len(correct[label])} of the {wanted[label]} examples needed of {label!r} are"
        f" predicted correctly among {n_rows} rows; {advice} tune the model on the source language"
        " first (competence tuning)."
    )
