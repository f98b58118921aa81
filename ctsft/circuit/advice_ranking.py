"""Advice as it is kept: every head by rank, with what the target asks of it and what the source
would lose. The rule `advised` reads it.

`advise.py` takes advice from gradients; this module knows only its numbers, so that a page, a file
or a later command can pick heads by them. Relevance scores do not hold advice: `select(scores,
"advised", k=6, advice=...)` needs it beside them.
"""

import csv
import io
from dataclasses import dataclass, field

import torch

from ctsft.attribution.scores import Head
from ctsft.circuit.circuit import Circuit, shape_of
from ctsft.utils.errors import UserError

COLUMNS = ("layer", "head", "value", "gradient", "fisher", "rank")

# of `about`: which rows were asked, and how
ROWS_OF = ("target", "n", "seed", "pool", "damping")


@dataclass(frozen=True)
class Ranking:
    """`rows`: a dictionary of `COLUMNS` a head, the first rank first. `about`: the model's shape,
    and `ROWS_OF`.
    """

    rows: tuple[dict, ...]
    about: dict = field(default_factory=dict)

    @property
    def order(self) -> list[Head]:
        return [(row["layer"], row["head"]) for row in self.rows]

    @property
    def shape(self) -> tuple[int, int]:
        """Layers, heads a layer."""
        return 1 + max(row["layer"] for row in self.rows), 1 + max(row["head"] for row in self.rows)

    def table(self, column: str) -> torch.Tensor:
        """One column as a map, [layer, head]; float64."""
        found = torch.full(self.shape, float("nan"), dtype=torch.float64)
        for row in self.rows:
            found[row["layer"], row["head"]] = row[column]
        return found

    def circuit(self, k: int = 6) -> Circuit:
        """The first k heads: the rule `advised`. UserError for a k that the model has not."""
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
        return Circuit(
            frozenset(why), why, shape_of(self.about), {"name": "advised", "k": k, **self.asked}
        )

    @property
    def asked(self) -> dict:
        """Which rows advice was taken on."""
        return {name: self.about[name] for name in ROWS_OF if name in self.about}

    def csv(self) -> str:
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()

    @classmethod
    def parse(cls, text: str, name: str = "the text", about: dict | None = None) -> "Ranking":
        """What `csv` wrote. UserError when it is something else, or does not hold every
        head once.
        """
        try:
            rows = [
                {
                    key: (int if key in ("layer", "head", "rank") else float)(row[key])
                    for key in COLUMNS
                }
                for row in csv.DictReader(io.StringIO(text))
            ]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise UserError(
                f"{name} is no advice ({type(error).__name__}: {error}); give the advice.csv of"
                f" `python -m ctsft advise`, with the columns {', '.join(COLUMNS)}."
            ) from None
        found = cls(tuple(sorted(rows, key=lambda row: row["rank"])), about or {})
        layers, heads = found.shape if rows else (0, 0)
        if not rows or sorted(found.order) != [
            (layer, head) for layer in range(layers) for head in range(heads)
        ]:
            raise UserError(
                f"{name} does not hold every head once ({len(rows)} rows for {layers} layers of"
                f" {heads}); take the advice again."
            )
        return cls(found.rows, {"n_layers": layers, "n_heads": heads} | found.about)
