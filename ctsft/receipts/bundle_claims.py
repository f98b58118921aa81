"""The figures of a bundle or of a folder of runs: each file's hash, each run's figures, and what
the runs say of the same model and rows.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ctsft.jobs.bundle import opened_bundle, write_entries
from ctsft.receipts.claims import Claim, fail
from ctsft.receipts.evidence import Evidence, NotRecomputable, StoredRun
from ctsft.receipts.of_runs import receipt_of
from ctsft.receipts.receipt import FILE as RECEIPTS
from ctsft.receipts.run_claims import run_claims
from ctsft.runs.answers import ends
from ctsft.runs.explorations import FILE, About
from ctsft.runs.folder import read_json
from ctsft.runs.recorder import ID
from ctsft.utils.errors import UserError, cut
from ctsft.utils.json_files import read_json_file, read_regular


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A bundle's content in a folder that is removed again. UserError for a file that is none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with opened_bundle(path, path.name) as (bundle, entries):
            write_entries(bundle, entries, folder)
        yield folder


def folder_claims(folder: Path, packed: bool = False) -> tuple[list[Claim], Evidence]:
    """All claims of a folder with runs/<id>/; packed: whether it was a bundle, which says the hash
    of each file. UserError for a folder without runs.
    """
    evidence = Evidence([folder / "runs"])
    ids = run_ids(folder / "runs")
    claims = list(hash_claims(folder)) if packed else []
    for run_id in ids:
        claims += run_claims(evidence, run_id)
    claims += list(agreement_claims([evidence.run(run_id) for run_id in ids]))
    claims += list(stored_receipt_claims(folder, evidence))
    return claims, evidence


def run_ids(folder: Path) -> list[str]:
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise UserError(
            f"The folder {cut(folder, 200)} cannot be read ({error.strerror}); name a bundle, a"
            " run, a report or a folder of documents."
        ) from None
    runs = [
        name for name in names if ID.fullmatch(name) and (folder / name / "request.json").is_file()
    ]
    if not runs:
        raise UserError(f"The folder {cut(folder, 200)} holds no run; name one that does.")
    return runs


def hash_claims(folder: Path) -> Iterator[Claim]:
    """The SHA-256 of each file, against the bundle's list."""
    stored = read_json(folder / FILE, About).files
    present = {
        path.relative_to(folder).as_posix(): path
        for path in sorted((folder / "runs").rglob("*"))
        if path.is_file()
    }
    if not stored:
        why = NotRecomputable("the bundle is of an earlier version, without hashes of its files")
        yield Claim("hashes of the files", "", fail(why), structural=True)
        return
    for name in sorted({*stored, *present}):
        yield Claim(
            f"hash of {name}",
            stored.get(name, "not listed"),
            lambda name=name: hash_of(present.get(name)),
            structural=True,
        )


def hash_of(path: Path | None) -> str:
    return hashlib.sha256(read_regular(path)).hexdigest() if path else "missing"


def agreement_claims(of: list[StoredRun]) -> Iterator[Claim]:
    """Runs of one model have the same answers before tuning, to the same rows."""
    first: dict[tuple, tuple[str, str]] = {}
    for run in of:
        for key, right in answers_before(run):
            known, text = first.setdefault(key, (run.id, right))
            if known != run.id:
                yield Claim(
                    f"{run.id}: right before tuning on {key[1]}, as in {known}",
                    right,
                    lambda text=text: text,
                )


def stored_receipt_claims(folder: Path, evidence: Evidence) -> Iterator[Claim]:
    """The receipts beside the runs, against the run folders."""
    if not (folder / RECEIPTS).is_file():
        return
    stored = read_json_file(folder / RECEIPTS, "The receipts", "write them again")
    for run_id, receipt in stored.items():
        yield Claim(
            f"{RECEIPTS}: {run_id}",
            receipt,
            lambda run_id=run_id: receipt_of(evidence.run(run_id).run).model_dump(mode="json"),
        )


def answers_before(run: StoredRun) -> Iterator[tuple[tuple, str]]:
    """((model, language, split, rows), right or wrong per row)"""
    try:
        request, done = run.request, run.result
    except NotRecomputable:
        return
    if request.kind != "finetune" or not request.facts.model_fingerprint:
        return
    rows = (done.get("answered") or {"rows": {}})["rows"]
    split = (done.get("answered") or {}).get("split")
    for language, of in ends(done)[0].items():
        if language in rows and of.get("right"):
            place = request.subject.dtype, request.subject.device, request.tuning.what == "direct"
            key = request.facts.model_fingerprint, language, split, rows[language]["hash"], place
            yield key, of["right"]
