"""Verification of an artefact: what kind it is, its claims, and what comes of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ctsft import runs
from ctsft.receipts.bundle_claims import folder_claims, run_ids, unpacked
from ctsft.receipts.claims import (
    DIFFERENT,
    EQUAL,
    NOT_RECOMPUTABLE,
    Claim,
    Verdict,
    check,
    counts,
    drawn,
)
from ctsft.receipts.document_claims import document_claims
from ctsft.receipts.evidence import Evidence
from ctsft.receipts.report_claims import report_claims
from ctsft.receipts.run_claims import run_claims
from ctsft.runs.recorder import ID
from ctsft.utils.errors import UserError, cut, quoted

MOST_LINES = 20  # of each kind that a text lists


@dataclass(frozen=True)
class Settings:
    """sample: so many figures, drawn with the seed; None: all. deep: whether the model is run
    again. runs: where the runs of a report lie (a folder or a bundle); None: the home's.
    """

    sample: int | None = None
    seed: int = 0
    deep: bool = False
    runs: Path | None = None


@dataclass(frozen=True)
class Verified:
    """The verdicts on an artefact; `figures`: how many it has in all."""

    path: str
    kind: str
    figures: int
    verdicts: list[Verdict]

    @property
    def counts(self) -> dict[str, int]:
        return counts(self.verdicts)

    def as_dict(self) -> dict:
        return {
            "path": self.path,
            "kind": self.kind,
            "figures": self.figures,
            **{state.replace(" ", "_"): n for state, n in self.counts.items()},
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
        }

    def text(self) -> str:
        """The counts, each figure that differs, and why others could not be computed."""
        of = self.counts
        lines = [
            f"{self.path} ({self.kind}): {len(self.verdicts)} of {self.figures} figures checked,"
            f" {of[EQUAL]} equal, {of[DIFFERENT]} different, {of[NOT_RECOMPUTABLE]} not"
            " recomputable."
        ]
        different = [verdict for verdict in self.verdicts if verdict.state == DIFFERENT]
        for verdict in different[:MOST_LINES]:
            why = verdict.why or f"stored {verdict.value}, computed {verdict.recomputed}"
            lines.append(f"different: {verdict.where}: {why}")
        if len(different) > MOST_LINES:
            lines.append(f"different: {len(different) - MOST_LINES} more (see --json)")
        reasons = Counter(
            verdict.why for verdict in self.verdicts if verdict.state == NOT_RECOMPUTABLE
        )
        for why, number in reasons.most_common(MOST_LINES):
            lines.append(f"not recomputable ({number}): {why}")
        return "\n".join(lines)


def verify(path: Path | str, settings: Settings = Settings()) -> Verified:
    """Compute the figures of a report (.html), a bundle (.zip), a run folder, a folder of runs, the
    id of a run, a document (.md) or a folder of documents again. UserError, one sentence, for
    anything else.
    """
    with opened(Path(path), settings) as (kind, claims):
        if not claims:
            raise UserError(
                f"{quoted(str(path), 200)} holds no figure to verify; name a report (.html), a"
                " bundle (.zip), a run, or documents (.md) with receipts."
            )
        chosen = drawn(claims, settings.sample, settings.seed)
        return Verified(str(path), kind, len(claims), [check(claim) for claim in chosen])


@contextmanager
def opened(path: Path, settings: Settings) -> Iterator[tuple[str, list[Claim]]]:
    """The kind of an artefact, and its claims while it is open."""
    if path.suffix == ".zip":
        with unpacked(path) as folder:
            yield "bundle", with_deep(*folder_claims(folder, packed=True), folder, settings)
    elif path.suffix in (".html", ".htm"):
        with run_folders(settings.runs) as folders:
            yield "report", report_claims(path, Evidence(folders))
    elif (path / "request.json").is_file():
        evidence = Evidence([path.resolve().parent])
        name = path.resolve().name
        yield "run", [*run_claims(evidence, name), *deep(evidence, [name], settings)]
    elif (path / "runs").is_dir():
        yield "folder of runs", with_deep(*folder_claims(path), path, settings)
    elif not path.exists() and ID.fullmatch(str(path)):
        run = runs.get(str(path))
        evidence = Evidence([run.path.parent])
        yield "run", [*run_claims(evidence, run.id), *deep(evidence, [run.id], settings)]
    elif path.suffix == ".md" or path.is_dir():
        yield "documents", document_claims(path)
    else:
        raise refusal(path)


def refusal(path: Path) -> UserError:
    why = "cannot be verified" if path.exists() else "does not exist"
    return UserError(
        f"{quoted(str(path), 200)} {why}; name a report (.html), a bundle (.zip), a run, a folder"
        " of runs, or documents (.md)."
    )


@contextmanager
def run_folders(named: Path | None) -> Iterator[Sequence[Path]]:
    """Where the runs of a report lie."""
    if named is None:
        yield ()
    elif named.suffix == ".zip":
        with unpacked(named) as folder:
            yield (folder / "runs",)
    elif named.is_dir():
        yield (named / "runs" if (named / "runs").is_dir() else named,)
    else:
        raise UserError(
            f"--runs {cut(named, 200)} is neither a folder of runs nor a bundle (.zip); name one."
        )


def with_deep(
    claims: list[Claim], evidence: Evidence, folder: Path, settings: Settings
) -> list[Claim]:
    return [*claims, *deep(evidence, run_ids(folder / "runs"), settings)]


def deep(evidence: Evidence, ids: list[str], settings: Settings) -> Iterator[Claim]:
    if settings.deep:
        from ctsft.receipts.deep_claims import deep_claims

        yield from deep_claims(evidence, ids)
