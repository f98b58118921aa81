"""The figures of Markdown documents: computed again where their data lies in the repository, and
otherwise compared with the hash in their receipt.
"""

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ctsft.experiment import method_differences, tables
from ctsft.experiment.stored_tables import TITLE, cells_of, stored_rows
from ctsft.receipts.claims import Claim, Value, fail
from ctsft.receipts.document_file import Part, parts_of
from ctsft.receipts.evidence import Evidence, NotRecomputable
from ctsft.receipts.operations import OPERATIONS, over
from ctsft.runs import results
from ctsft.runs.folder import Run
from ctsft.utils.errors import UserError, cut
from ctsft.utils.figures import shows
from ctsft.utils.json_files import read_regular, reason_of

MOST_DOCUMENTS = 2000
ROUNDED = 0.001  # means of stored tables are rounded to three decimals
# (where, the text of the document, how it is computed)
Found = Iterator[tuple[str, str, Callable[[], Value]]]


def documents(path: Path) -> list[Path]:
    """A document, or all of a folder. UserError where there is none."""
    paths = [path] if path.is_file() else sorted(path.rglob("*.md"))[:MOST_DOCUMENTS]
    if not paths:
        raise UserError(
            f"The folder {cut(path, 200)} holds no document (.md) and no run; name one that does."
        )
    return paths


def document_claims(path: Path) -> list[Claim]:
    """All claims of a document or a folder of documents."""
    claims: list[Claim] = []
    for document in documents(path):
        name = document.relative_to(path).as_posix() if path.is_dir() else document.name
        try:
            text = read_regular(document).decode("utf-8")
        except (OSError, ValueError) as error:
            raise UserError(
                f"The document {cut(document, 200)} cannot be read ({reason_of(error)}); name a"
                " text in Markdown."
            ) from None
        claims += list(claims_of(text, name, document.parent))
    return claims


def claims_of(text: str, name: str, folder: Path) -> Iterator[Claim]:
    parts = parts_of(text, name)
    has_receipts = any(part.receipt for part in parts)
    for part in parts:
        where = f"{name}, line {part.line}"
        if part.receipt is None:
            yield from (uncovered(part, where) if has_receipts else without(part, where))
            continue
        digest = part.receipt.numbers
        yield Claim(f"{where}: numbers", part.digest, lambda digest=digest: digest, True)
        if part.receipt.derive:
            yield from derived_claims(part, where, folder, text)
        else:
            why = NotRecomputable(f"needs {part.receipt.needs or 'a run of its command'}")
            for number in part.results:
                yield Claim(where, number, fail(why))


def uncovered(part: Part, where: str) -> Iterator[Claim]:
    for number in part.bare_results:
        yield Claim(f"{where}: a number without a receipt", number, lambda: "a receipt", True)


def without(part: Part, where: str) -> Iterator[Claim]:
    for number in part.bare_results:
        yield Claim(where, number, fail(NotRecomputable("the document has no receipts")))


def derived_claims(part: Part, where: str, folder: Path, text: str) -> Iterator[Claim]:
    """The figures of the part's table, and a note on the others."""
    receipt = part.receipt
    if receipt.derive not in DERIVATIONS:
        raise UserError(
            f"The receipt in {where} derives by {cut(receipt.derive)!r}; choose from"
            f" {', '.join(DERIVATIONS)}."
        )
    data = folder / receipt.data if receipt.data else None
    known = 0
    for place, shown, compute in DERIVATIONS[receipt.derive](part, data, text):
        known += 1
        yield Claim(f"{where}: {place}", shown, compute, equal=about)
    if not known:
        yield Claim(f"{where}: a table", "none", lambda: "a table", True)


def about(shown: Value, value: Value) -> bool:
    """Whether a cell shows a value that was computed from rounded ones."""
    text = str(shown)
    with_zero = text.replace(".", "0.", 1) if text.lstrip("+-−").startswith(".") else text
    return shows(with_zero, value) or abs(float(with_zero.replace("−", "-")) - value) <= ROUNDED


def stored_text(data: Path | None, text: str) -> str:
    """The file with the tables; the document itself where no file is named."""
    if data is None:
        return text
    try:
        return read_regular(data).decode("utf-8")
    except (OSError, ValueError) as error:
        raise NotRecomputable(f"needs {data.name} ({reason_of(error)})") from None


def means_of_targets(text: str) -> dict[tuple, float]:
    """{(setting, n, side, method): mean over the targets} of stored tables."""
    values: dict[tuple, list[float]] = {}
    for place, cell in cells_of(text):
        if place["target"] != tables.ALL_TARGETS:
            key = place["setting"], place["n"], place["side"], place["method"]
            values.setdefault(key, []).append(float(cell.split()[0]))
    return {key: statistics.fmean(some) for key, some in values.items()}


def all_targets(part: Part, data: Path | None, text: str) -> Found:
    """The rows *all targets* of a stored table are the means of its other rows."""
    title = next(filter(None, map(TITLE.match, part.lines)), None)
    if title is None:
        return
    setting, n = title["setting"], int(title["n"])
    methods = part.head()[2:]
    for row in part.table():
        if row[0] != tables.ALL_TARGETS:
            continue
        for method, cell in zip(methods, row[2:], strict=False):
            key = setting, n, row[1], method
            yield (
                f"{method} on {row[1]}",
                cell.split()[0],
                lambda key=key: means_of_targets(stored_text(data, text))[key],
            )


def experiment_means(part: Part, data: Path | None, text: str) -> Found:
    """Means over targets: a row a method, and target and source of each setting and n as
    columns.
    """
    columns = [("rough", 25), ("rough", 100), ("gentle", 25), ("gentle", 100)]
    places = [(*column, side) for column in columns for side in ("target", "source")]
    for row in part.table():
        method = row[0].strip("`").replace("before tuning", "before")
        for place, cell in zip(places, row[1:], strict=False):
            yield (
                f"{method}, {place[0]}, n = {place[1]}, {place[2]}",
                cell.split()[0],
                lambda key=(*place, method): means_of_targets(stored_text(data, text))[key],
            )


def stored_differences(part: Part, data: Path | None, text: str) -> Found:
    """Paired differences, from the stored means of each language."""

    def compared() -> dict[tuple[str, str], dict]:
        rows = stored_rows(stored_text(data, text))
        pairs = method_differences.notable_pairs(method_differences.paired_differences(rows))
        return {(one["setting"], f"{one['one']} − {one['other']}"): one for one in pairs}

    first = 3 if "over" in part.head() else 2  # column with a difference
    for row in part.table():
        for side, cell in zip(("target", "source"), row[first:], strict=False):
            numbers = cell.replace("[", " ").replace("]", " ").replace(",", " ").split()
            for name, number in zip(("mean", "low", "high"), numbers, strict=False):
                yield (
                    f"{row[0]}, {row[1]}, {side} {name}",
                    number,
                    lambda key=(row[0], row[1]), of=f"{side}_{name}": compared()[key][of],
                )


def recorded_means(part: Part, data: Path | None, text: str) -> Found:
    """Means over the seeds of recorded runs. The first cell names the runs by how their ids begin,
    the head names a figure of a run; "low, high" behind it is the interval of its mean.
    """
    evidence = Evidence([data / "runs"]) if data else Evidence()
    for row in part.table():
        for name, cell in zip(part.head()[1:], row[1:], strict=True):
            numbers = cell.replace("[", " ").replace("]", " ").replace(",", " ").split()
            for end, number in zip(("mean", "low", "high"), numbers, strict=False):

                def compute(begin=row[0].strip("`"), name=name.replace(" ", "_"), end=end) -> float:
                    return getattr(over(seeds(evidence, data, begin, name)), end)

                yield f"{row[0]}, {name}, {end}", number, compute


def seeds(evidence: Evidence, data: Path | None, begin: str, name: str) -> tuple[float, ...]:
    """A figure of each run whose id is `begin` and a seed."""
    try:
        names = sorted(path.name for path in (data / "runs").iterdir()) if data else []
    except OSError as error:
        raise NotRecomputable(f"needs the runs in {data} ({error.strerror})") from None
    ids = [one for one in names if one.rpartition("-")[0] == begin]
    if not ids:
        raise NotRecomputable(f"needs the runs {begin}-…, which are not in {data}")
    return tuple(OPERATIONS[name](evidence, one) for one in ids)


def recorded_validation(part: Part, data: Path | None, text: str) -> Found:
    """What a recorded validation run found: a row a ranking; Spearman, and CPR and CMD with their
    intervals as columns.
    """

    def measured(method: str, column: str, end: str) -> Value:
        if data is None or not (report := results.result(Run(data))):
            raise NotRecomputable("needs a recorded validation run")
        if column == "Spearman":
            return report["agreement"][method]["spearman"]
        return report["areas"]["methods"][method][column.lower()][end]

    for row in part.table():
        for column, cell in zip(part.head()[1:], row[1:], strict=True):
            numbers = cell.replace("[", " ").replace("]", " ").replace(",", " ").split()
            for end, number in zip(("value", "low", "high"), numbers, strict=False):
                key = row[0].strip("`"), column, end
                yield f"{row[0]}, {column}, {end}", number, partial(measured, *key)


DERIVATIONS: dict[str, Callable[[Part, Path | None, str], Found]] = {
    "all_targets": all_targets,
    "experiment_means": experiment_means,
    "stored_differences": stored_differences,
    "recorded_means": recorded_means,
    "recorded_validation": recorded_validation,
}
