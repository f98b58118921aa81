"""Facts about a model's answers and a task's rows that Setup shows; no streamlit."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix

from ctsft.data.task import Example, Task
from ctsft.data.token_text import readable
from ctsft.model.model import Model


@dataclass(frozen=True)
class Measured:
    """An accuracy, the rows it was measured on, and what guessing would reach."""

    accuracy: float
    rows: int
    chance: float

    @classmethod
    def of(cls, rows: list[Example], answers: list[str], n_labels: int) -> "Measured":
        right = sum(row.label == answer for row, answer in zip(rows, answers, strict=True))
        return cls(right / len(rows) if rows else float("nan"), len(rows), 1 / n_labels)

    @property
    def error(self) -> float:
        """Standard error of a share: sqrt(p (1 - p) / n)."""
        return (
            (self.accuracy * (1 - self.accuracy) / self.rows) ** 0.5 if self.rows else float("nan")
        )

    @property
    def near_chance(self) -> bool:
        """Within two standard errors of guessing, or less than .1 above it."""
        return self.accuracy - self.chance < max(2 * self.error, 0.1)


def split_of(task: Task, language: str, otherwise: str) -> str:
    """The split an accuracy is measured on: test, else valid, else `otherwise`."""
    here = task.splits(language)
    return next((split for split in ("test", "valid") if split in here), otherwise)


def aligned(first: list[Example], second: list[Example]) -> list[tuple[Example, Example]]:
    """Rows with the same id, if the two lists are translations of each other: most ids in common,
    and equal labels there.
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
    """The first `n` rows, labels taking turns."""
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
    """How often each right label was answered how, [right label, answer]."""
    return confusion_matrix([row.label for row in rows], answers, labels=list(labels))


def pieces(model: Model, task: Task, row: Example) -> list[str]:
    """The prompt as the model sees it, token by token."""
    return readable(model.tokenizer, task.encode(model, row))
