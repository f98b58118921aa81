"""Receipts of run folders."""

import json
import shlex
from functools import lru_cache
from pathlib import Path

from ctsft.data.task import Example, rows_hash
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.requests import AnyRequest, Subject, request_of
from ctsft.receipts.receipt import FILE, NOT_RECORDED, Receipt, RowSet
from ctsft.runs import results
from ctsft.runs.folder import Run, file_stamp, is_settled
from ctsft.utils.atomic_files import write_text


def receipt_of(run: Run, interval: str = "") -> Receipt | None:
    """The receipt of a run's figures; None where its request cannot be read. Made once for as long
    as the run's files stay the same.
    """
    stamps = tuple(file_stamp(run.file(name)) for name in ("request.json", "result.json"))
    settled = all(stamp is None or is_settled(stamp) for stamp in stamps)
    receipt = (_receipt if settled else _receipt.__wrapped__)(run.path, stamps)
    return receipt.model_copy(update={"interval": interval}) if receipt and interval else receipt


MOST_HASHED = 5_000  # rows that a page hashes at every turn


@lru_cache(maxsize=5_000)
def _receipt(path: Path, stamps: tuple) -> Receipt | None:
    run = Run(path)
    request = request_of(run)
    if request is None:
        return None
    return Receipt(
        command=shell_command(request),
        run=run.id,
        rows=tuple(row_sets(run, request)),
        seed=seed_of(request),
        model_fingerprint=request.facts.model_fingerprint or NOT_RECORDED,
        interval=INTERVALS.get(request.kind, "none: measured once"),
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
    sets = [
        RowSet(
            name=name, split=answered.get("split", ""), count=len(rows["ids"]), hash=rows["hash"]
        )
        for name, rows in answered.get("rows", {}).items()
    ]
    tuning = getattr(request, "tuning", None)
    split = tuning.eval_split if tuning else ""
    known = {one.hash for one in sets}
    for name, digest in request.facts.data_fingerprints.items():
        if digest not in known:
            sets.append(RowSet(name=name, split="" if name == "train" else split, hash=digest))
    return sets


def seed_of(request: AnyRequest) -> int | None:
    """The seed that determines a run's figures, beside its rows."""
    for part in ("config", "scoring", "checks"):
        if (value := getattr(getattr(request, part, None), "seed", None)) is not None:
            return value
    return getattr(request, "seed", None)


def computed_receipt(
    subject: Subject, fingerprint: str, rows: list[Example], interval: str
) -> Receipt:
    """The receipt of an accuracy that a page measured itself: the command that measures it."""
    words = ["python", "-m", "ctsft", "accuracy", "--model", subject.model, "--task", subject.task]
    words += ["--language", subject.language or "", "--split", subject.split]
    words += ["--data-dir", subject.data_dir] if subject.data_dir else []
    measured = RowSet(
        name=subject.language or "", split=subject.split, count=len(rows), hash=rows_hash(rows)
    )
    return Receipt(
        command=shlex.join(words),
        run="none: measured on this page",
        rows=(measured,),
        seed="none: nothing is drawn",
        model_fingerprint=fingerprint,
        interval=interval,
    )


def counted_receipt(
    subject: Subject, fingerprint: str, rows: dict[str, list[Example]], expression: str
) -> Receipt:
    """The receipt of what a page counted of a model or of rows. rows: by language; expression: of
    Python, with `ctsft` imported.
    """
    return Receipt(
        command=shlex.join(["python", "-c", f"import ctsft; print({expression})"]),
        run="none: counted on this page",
        rows=tuple(
            RowSet(
                name=name,
                split=subject.split,
                count=len(some),
                hash=rows_hash(some) if len(some) <= MOST_HASHED else "not hashed: many rows",
            )
            for name, some in rows.items()
        ),
        seed="none: nothing is drawn",
        model_fingerprint=fingerprint,
        interval="none: counted",
    )


def write_receipts(folder: Path):
    """The receipts of a folder of runs as a file, for readers without torch."""
    runs = [Run(path) for path in sorted((folder / "runs").iterdir())]
    receipts = {run.id: receipt.model_dump() for run in runs if (receipt := receipt_of(run))}
    write_text(folder / FILE, json.dumps(receipts, indent=1) + "\n")
