"""Facts about rows: label counts, translations, the confusion matrix, prompt tokens."""

from collections import Counter

import numpy as np

from ctsft.data.task import Example, Task
from ctsft.data.token_text import readable_tokens
from ctsft.model.model import Model


def split_of(task: Task, language: str, otherwise: str) -> str:
    """The split an accuracy is measured on: test, else valid, else `otherwise`."""
    here = task.splits(language)
    return next((split for split in ("test", "valid") if split in here), otherwise)


def aligned(first: list[Example], second: list[Example]) -> list[tuple[Example, Example]]:
    """The pairs of rows with the same id, if the lists are translations of each other: most ids in
    common, with equal labels; otherwise an empty list.
    """
    other = {row.id: row for row in second}
    pairs = [(row, other[row.id]) for row in first if row.id in other]
    parallel = (
        pairs
        and 2 * len(pairs) >= min(len(first), len(second))
        and all(a.label == b.label for a, b in pairs)
    )
    return pairs if parallel else []


def spread(rows: list[Example], labels: tuple[str, ...], n: int) -> list[Example]:
    """The first `n` rows, with the labels in turn."""
    turns = sorted(
        (turn, order, row)
        for label in labels
        for turn, (order, row) in enumerate(
            (order, row) for order, row in enumerate(rows) if row.label == label
        )
    )
    return [row for _, _, row in turns[:n]]


def tally(rows: list[Example], labels: tuple[str, ...]) -> dict[str, int]:
    """Rows of each label."""
    counts = Counter(row.label for row in rows)
    return {label: counts[label] for label in labels}


def balance(rows: list[Example], labels: tuple[str, ...]) -> list[str]:
    """ "negative 50 (33%)" for each label."""
    return [
        f"{label} {count} ({count / len(rows):.0%})" for label, count in tally(rows, labels).items()
    ]


def confusion(rows: list[Example], answers: list[str], labels: tuple[str, ...]) -> np.ndarray:
    """Number of rows by right label and answer, [right label, answer]."""
    from sklearn.metrics import confusion_matrix  # takes a second to import

    return confusion_matrix([row.label for row in rows], answers, labels=list(labels))


def pieces(model: Model, task: Task, row: Example) -> list[str]:
    """The prompt as the model sees it, token by token."""
    return readable_tokens(model.tokenizer, task.encode(model, row))
