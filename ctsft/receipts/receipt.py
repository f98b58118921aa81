"""The receipt of a run: the command that repeats it, its rows, seed and model."""

from pydantic import BaseModel, ConfigDict

from ctsft.jobs.command_line import shell_command
from ctsft.jobs.requests import AnyRequest, request_of
from ctsft.runs import results
from ctsft.runs.folder import Run

NOT_RECORDED = "not recorded"
MOST_RUNS = 3  # that a receipt of several runs lists


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
    seed: int | None = None
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


def receipt_of(run: Run, interval: str = "") -> Receipt | None:
    """The receipt of a run's figures; None where its request cannot be read."""
    request = request_of(run)
    if request is None:
        return None
    return Receipt(
        command=shell_command(request),
        run=run.id,
        rows=tuple(row_sets(run, request)),
        seed=seed_of(request),
        model_fingerprint=request.facts.model_fingerprint or NOT_RECORDED,
        interval=interval or INTERVALS.get(request.kind, "none: measured once"),
    )


INTERVALS = {
    "finetune": "of accuracies: Wilson over the rows; of changes: paired over the rows; of means:"
    " Student's t over seeds, from three on",
    "score": "standard error over the examples",
    "faithfulness": "lowest to highest of the random circuits of each size",
    "validate": "lowest to highest of the random circuits, and of the other discovery sets",
    "advise": "none: one estimate from its rows",
    "rescore": "standard error over the examples",
    "experiment": "Student's t over languages, or seeds; bootstrap over rows and seeds",
}


def row_sets(run: Run, request: AnyRequest) -> list[RowSet]:
    """The rows before and after tuning with their hashes, then all that the run fingerprinted."""
    answered = (results.result(run).get("answered") or {}) if request.kind == "finetune" else {}
    found = [
        RowSet(
            name=name, split=answered.get("split", ""), count=len(rows["ids"]), hash=rows["hash"]
        )
        for name, rows in answered.get("rows", {}).items()
    ]
    tuning = getattr(request, "tuning", None)
    split = tuning.eval_split if tuning else ""
    known = {one.hash for one in found}
    for name, digest in request.facts.data_fingerprints.items():
        if digest not in known:
            found.append(RowSet(name=name, split="" if name == "train" else split, hash=digest))
    return found


def seed_of(request: AnyRequest) -> int | None:
    """The seed that determines a run's figures, beside its rows."""
    for part in ("config", "scoring", "checks"):
        if (value := getattr(getattr(request, part, None), "seed", None)) is not None:
            return value
    return getattr(request, "seed", None)


def text_of(receipts: list[Receipt], interval: str = "") -> str:
    """One line for a hover: of several runs the first ones in full."""
    parts = [
        "; ".join(f"{name}: {text}" for name, text in one.lines() if name != "interval")
        for one in receipts[:MOST_RUNS]
    ]
    if len(receipts) > MOST_RUNS:
        parts.append(f"and {len(receipts) - MOST_RUNS} more runs")
    return " | ".join([*parts, f"interval: {interval}" if interval else ""]).strip(" |")
