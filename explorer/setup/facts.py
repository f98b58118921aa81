"""Facts about a model's answers and a task's rows that Setup shows; no streamlit."""

from dataclasses import dataclass

from ctsft.data.task import Example


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
