"""What a receipt says: the command that repeats a figure's run, its rows, seed and model. Nothing
here imports torch; `of_runs` makes receipts of run folders.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

NOT_RECORDED = "not recorded"
MOST_RUNS = 3  # that a receipt of several runs shows in full
FILE = "receipts.json"  # of a folder of runs: {run: receipt}, for readers without torch


class RowSet(BaseModel):
    """Rows that figures are of; hash: 16 hex digits of ids, texts and labels."""

    model_config = ConfigDict(frozen=True)
    name: str  # language or use
    split: str = ""
    count: int | None = None
    hash: str = ""

    def text(self) -> str:
        count = "" if self.count is None else f"{self.count} "
        split = f"{self.split} " if self.split else ""
        return f"{count}{split}{self.name} rows ({self.hash or 'no hash'})"


class Receipt(BaseModel):
    """Where the figures of one run come from. interval: how those figures have one."""

    model_config = ConfigDict(frozen=True)
    command: str
    run: str
    rows: tuple[RowSet, ...] = ()
    seed: int | str | None = None  # a text: why there is none
    model_fingerprint: str = NOT_RECORDED
    interval: str = "none: not stated"

    def lines(self) -> list[tuple[str, str]]:
        """(what, text) in the order in which it is read."""
        return [
            ("command", self.command),
            ("run", self.run),
            ("rows", ", ".join(one.text() for one in self.rows) or NOT_RECORDED),
            ("seed", NOT_RECORDED if self.seed is None else str(self.seed)),
            ("model", self.model_fingerprint),
            ("interval", self.interval),
        ]


def text_of(receipts: Sequence[Receipt], interval: str = "") -> str:
    """One line for a hover: of several runs the first ones in full."""
    parts = [
        "; ".join(f"{name}: {text}" for name, text in one.lines() if name != "interval")
        for one in receipts[:MOST_RUNS]
    ]
    if len(receipts) > MOST_RUNS:
        parts.append(f"and {len(receipts) - MOST_RUNS} more runs")
    said = interval or (receipts[0].interval if receipts else "")
    return " | ".join([*parts, f"interval: {said}" if said else ""]).strip(" |")
