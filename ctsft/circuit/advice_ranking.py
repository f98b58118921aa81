"""Advice in its saved form: every head by rank, with the gradient on target rows and the Fisher
information on source rows. The selection rule `advised` reads it.

`tuning.head_advice` computes advice from gradients; this module holds its numbers only, so that a
page, a file or a later command can choose heads by them. Relevance scores do not contain advice:
`select(scores, "advised", k=6, advice=...)` needs it in addition.
"""

import csv
import io
import math
from dataclasses import dataclass, field

import torch

from ctsft.attribution.scores import MOST_HEADS, Head
from ctsft.circuit.circuit import Circuit, model_fields
from ctsft.utils.csv_text import csv_text
from ctsft.utils.errors import UserError, cut, quoted

COLUMN_TYPES = {
    "layer": int,
    "head": int,
    "value": float,
    "gradient": float,
    "fisher": float,
    "rank": int,
}
COLUMNS = tuple(COLUMN_TYPES)

# fields of `about`: which rows the advice was computed on, and how
ROW_FIELDS = ("target", "n", "seed", "pool", "damping")


@dataclass(frozen=True)
class Ranking:
    """`rows`: one dictionary of `COLUMNS` for each head, the first rank first. `about`: the model's
    shape, and `ROW_FIELDS`.
    """

    rows: tuple[dict, ...]
    about: dict = field(default_factory=dict)

    @property
    def order(self) -> list[Head]:
        return [(row["layer"], row["head"]) for row in self.rows]

    @property
    def shape(self) -> tuple[int, int]:
        """Layers, heads in a layer."""
        return 1 + max(row["layer"] for row in self.rows), 1 + max(row["head"] for row in self.rows)

    def table(self, column: str) -> torch.Tensor:
        """One column as a map, [layer, head]; float64."""
        values = torch.full(self.shape, float("nan"), dtype=torch.float64)
        for row in self.rows:
            values[row["layer"], row["head"]] = row[column]
        return values

    def circuit(self, k: int = 6) -> Circuit:
        """The first k heads, by the rule `advised`. Raises UserError for a k outside 0 to the
        number of heads.
        """
        if not 0 <= k <= len(self.rows):
            raise UserError(
                f"k is {k}, and the model has {len(self.rows)} heads; choose 0 to {len(self.rows)}."
            )
        why = {
            (row["layer"], row["head"]): (
                f"rank {row['rank']} by target gain per source loss (target gradient"
                f" {row['gradient']:.3g}, source Fisher {row['fisher']:.3g})"
            )
            for row in self.rows[:k]
        }
        rule = {"name": "advised", "k": k, **self.row_fields}
        return Circuit(frozenset(why), why, model_fields(self.about), rule)

    @property
    def row_fields(self) -> dict:
        """Which rows the advice was computed on, and how."""
        return {name: self.about[name] for name in ROW_FIELDS if name in self.about}

    def csv(self) -> str:
        """One line a head, with `COLUMNS`."""
        return csv_text(COLUMNS, self.rows)

    @classmethod
    def parse(cls, text: str, name: str = "the text", about: dict | None = None) -> "Ranking":
        """The ranking that `csv` wrote. Raises UserError, with `name` in its text, for anything
        else, and when a head is missing or occurs twice.
        """
        try:
            rows = [
                {column: convert(row[column]) for column, convert in COLUMN_TYPES.items()}
                for row in csv.DictReader(io.StringIO(text))
            ]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise UserError(
                f"{name} is not advice ({type(error).__name__}: {cut(error)}); give the advice.csv"
                f" of `python -m ctsft advise`, with the columns {', '.join(COLUMNS)}."
            ) from None
        possible = [row for row in rows if is_possible(row)]
        if len(possible) < len(rows):
            wrong = next(row for row in rows if row not in possible)
            raise UserError(f"{name} is not advice ({quoted(wrong)}); compute the advice again.")
        ranking = cls(tuple(sorted(rows, key=lambda row: row["rank"])), about or {})
        layers, heads = ranking.shape if rows else (0, 0)
        every = [(layer, head) for layer in range(layers) for head in range(heads)]
        if not rows or sorted(ranking.order) != every:
            raise UserError(
                f"{name} does not hold every head once ({len(rows)} rows for {layers} layers of"
                f" {heads}); compute the advice again."
            )
        return cls(ranking.rows, {"n_layers": layers, "n_heads": heads} | ranking.about)


def is_possible(row: dict) -> bool:
    """Whether a row's numbers are finite, and its head is one that a model may have."""
    head = row["layer"], row["head"]
    return all(map(math.isfinite, row.values())) and all(0 <= part < MOST_HEADS for part in head)
