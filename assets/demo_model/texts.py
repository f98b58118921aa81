"""The training texts of the bundled model: NusaX and SmSA without what is held out."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from demo_model.recipe import LANGUAGES, SOURCE

SHINGLE = 10  # letters and digits a shingle
NEAR_COPY = 0.3  # of the shorter text's shingles shared with a held-out text


@dataclass(frozen=True)
class Row:
    text: str
    label: str | None  # None: the text is read, the label is not


def fold(text: str) -> str:
    """The text lower-cased, with letters and digits only."""
    return "".join(c for c in text.lower() if c.isalnum())


def shingles(text: str) -> set[str]:
    folded = fold(text)
    return {folded[i : i + SHINGLE] for i in range(max(1, len(folded) - SHINGLE + 1))}


def tidy(text: str) -> str:
    """SmSA text with its punctuation and the clitic `nya` joined to the word before, as ordinary
    text has them.
    """
    return re.sub(r" nya\b", "nya", re.sub(r" ([,.!?;:)%])", r"\1", text)).strip()


def capitalize_sentences(text: str) -> str:
    return re.sub(r"(^|[.!?] )([a-z])", lambda start: start[1] + start[2].upper(), text)


def read_csv(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise SystemExit(
            f"{path} is missing; --data must name a folder with nusax/ and smsa/ as their"
            " publishers give them"
        )
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_nusax(data: Path, language: str, split: str) -> list[Row]:
    return [
        Row(row["text"].strip(), row["label"])
        for row in read_csv(data / "nusax" / language / f"{split}.csv")
    ]


def read_smsa(data: Path) -> list[Row]:
    rows = []
    for split in ("train", "valid"):
        path = data / "smsa" / f"{split}_preprocess.tsv"
        if not path.is_file():
            raise SystemExit(
                f"{path} is missing; --data must name a folder with nusax/ and smsa/ as their"
                " publishers give them"
            )
        for line in path.read_text(encoding="utf-8").splitlines():
            text, label = line.split("\t")
            text = tidy(text)
            rows.append(Row(capitalize_sentences(text) if len(rows) % 2 else text, label))
    return rows


class HeldOut:
    """The texts no training row may equal or nearly copy."""

    def __init__(self, rows: Iterable[Row]):
        self.shingles = [shingles(row.text) for row in rows]
        self.folded = {fold(row.text) for row in rows}
        # shingle -> held-out texts that contain it
        self.where: dict[str, list[int]] = defaultdict(list)
        for i, of_text in enumerate(self.shingles):
            for shingle in of_text:
                self.where[shingle].append(i)

    def verdict(self, row: Row) -> str:
        """`equal`, `near copy` or `kept`."""
        if fold(row.text) in self.folded:
            return "equal"
        mine = shingles(row.text)
        shared = Counter(i for shingle in mine for i in self.where.get(shingle, ()))
        overlap = max(
            (n / min(len(mine), len(self.shingles[i])) for i, n in shared.items()), default=0.0
        )
        return "near copy" if overlap >= NEAR_COPY else "kept"


@dataclass(frozen=True)
class TrainingTexts:
    smsa: list[Row]
    nusax: list[Row]  # Indonesian, labelled
    others: list[Row]  # seven languages, no labels
    removed: dict[str, dict[str, int]]  # set -> verdict -> rows

    def distinct(self) -> list[Row]:
        return [*self.smsa, *self.nusax, *self.others]


def training_texts(data: Path) -> TrainingTexts:
    held_out = HeldOut(
        [
            row
            for name in LANGUAGES
            for split in ("valid", "test")
            for row in read_nusax(data, name, split)
        ]
    )
    removed: dict[str, dict[str, int]] = {}

    def clean(name: str, rows: list[Row]) -> list[Row]:
        verdicts = [held_out.verdict(row) for row in rows]
        # NusaX's own split is its publishers': there only an equal text goes, for SmSA near copies
        # go too.
        gone = {"equal", "near copy"} if name == "SmSA" else {"equal"}
        removed[name] = {verdict: verdicts.count(verdict) for verdict in sorted(gone)}
        return [row for row, verdict in zip(rows, verdicts, strict=True) if verdict not in gone]

    smsa = clean("SmSA", read_smsa(data))
    nusax = clean("NusaX Indonesian train", read_nusax(data, SOURCE, "train"))
    unlabelled = [
        Row(row.text, None)
        for name in LANGUAGES
        if name != SOURCE
        for row in read_nusax(data, name, "train")
    ]
    others = clean("NusaX train, other languages", unlabelled)
    for name, counts in removed.items():
        print(
            f"removed from {name}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        )
    print(
        f"training rows: SmSA {len(smsa)}, NusaX Indonesian {len(nusax)}, other languages without"
        f" labels {len(others)}"
    )
    return TrainingTexts(smsa, nusax, others, removed)
