"""An accuracy with its standard error and its chance level; no streamlit."""

from dataclasses import dataclass

from ctsft.data.task import Example


@dataclass(frozen=True)
class MeasuredAccuracy:
    """An accuracy, the number of rows it was measured on, and what guessing would reach."""

    accuracy: float
    rows: int
    chance: float

    @classmethod
    def of(cls, rows: list[Example], answers: list[str], n_labels: int) -> "MeasuredAccuracy":
        """The share of `rows` whose label is the answer at the same place; NaN without rows."""
        correct = sum(row.label == answer for row, answer in zip(rows, answers, strict=True))
        accuracy = correct / len(rows) if rows else float("nan")
        return cls(accuracy, len(rows), 1 / n_labels)

    @property
    def error(self) -> float:
        """Standard error of a share: sqrt(p (1 - p) / n)."""
        if not self.rows:
            return float("nan")
        return (self.accuracy * (1 - self.accuracy) / self.rows) ** 0.5

    @property
    def near_chance(self) -> bool:
        """Within two standard errors of guessing, or less than 0.1 above it."""
        return self.accuracy - self.chance < max(2 * self.error, 0.1)
