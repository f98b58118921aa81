"""A task made of the user's tables: which file holds which language and split, which column holds
the label, and what the prompt is.

A draft is a `Task` whose rows are in memory, so a preview reads it like every other task.
`task_file.write_task` saves it, and it is opened later by the path of its task file.
"""

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ctsft.data.sources import SPLITS
from ctsft.data.task import Task, placeholders
from ctsft.utils.errors import UserError
from ctsft.utils.file_names import slug

# in place of a split: the rows are dealt to all three, in these shares
DRAW_SPLITS = "draw"
SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}

SPLIT_SPELLINGS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
}
UNKNOWN_LANGUAGE = "texts"
MAX_LABELS = 20


@dataclass(frozen=True)
class MemoryTables:
    """Rows in memory by (language, split); takes the place of `sources.Files`."""

    frames: Mapping[tuple[str, str], pd.DataFrame] = field(hash=False)

    def splits(self, language: str) -> list[str]:
        return [split for split in SPLITS if (language, split) in self.frames]

    def read(self, language: str, split: str) -> pd.DataFrame:
        if (language, split) not in self.frames:
            raise UserError(
                f"There are no {split!r} rows of {language!r}; add a file that holds them."
            )
        return self.frames[language, split]


@dataclass(frozen=True)
class TableFile:
    """The rows of one file, and what they are. With a `language_column`, that column holds the
    language of each row instead.
    """

    frame: pd.DataFrame = field(hash=False)
    language: str
    split: str = DRAW_SPLITS
    language_column: str | None = None


# ---- what tables suggest ---------------------------------------------------


def guess_language_and_split(file_name: str) -> tuple[str, str]:
    """Language and split that a file's name suggests: "javanese-train.csv" -> ("javanese",
    "train"); ("texts", DRAW_SPLITS) if it suggests neither.
    """
    parts = [part for part in re.split(r"[^\w]+|_", Path(file_name).stem.lower()) if part]
    splits = [SPLIT_SPELLINGS[part] for part in parts if part in SPLIT_SPELLINGS]
    language = "-".join(part for part in parts if part not in SPLIT_SPELLINGS)
    return slug(language, UNKNOWN_LANGUAGE), splits[0] if splits else DRAW_SPLITS


def prompt_names(frame: pd.DataFrame) -> dict[str, str]:
    """{column: the name that a prompt uses for it}: letters, digits and underscores, all names
    different.
    """
    names: dict[str, str] = {}
    for column in map(str, frame.columns):
        name = re.sub(r"\W+", "_", column).strip("_") or "column"
        name = f"c_{name}" if name[0].isdigit() else name
        while name in names.values():
            name += "_"
        names[column] = name
    return names


def label_values(frames: Iterable[pd.DataFrame], column: str) -> list[str]:
    """The distinct values of a label column, sorted. UserError when there are fewer than two, or
    more than `MAX_LABELS`.
    """
    values = sorted(
        {str(value) for frame in frames if column in frame.columns for value in frame[column]}
    )
    if not 2 <= len(values) <= MAX_LABELS:
        number = "one value" if len(values) == 1 else f"{len(values)} different values"
        raise UserError(
            f"The column {column!r} holds {number}; a label column holds 2 to {MAX_LABELS}."
        )
    return values


# ---- the task --------------------------------------------------------------


def draft_task(
    name: str,
    prompt: str,
    parts: list[TableFile],
    label_column: str,
    labels: Mapping[str, str],
    source: str,
) -> Task:
    """A task in memory. `labels`: {value of the label column: label}; `source`: the source
    language.

    Raises UserError for a prompt that names no column, or names the label's; for fewer than two
    labels; for a source language without rows.
    """
    names = {column: name for part in parts for column, name in prompt_names(part.frame).items()}
    if names.get(label_column, "") in placeholders(prompt):
        raise UserError(
            f"The prompt names {label_column!r}, the label itself, which the model is to answer;"
            " remove it from the prompt."
        )
    rename = {value: label.strip() for value, label in labels.items()}
    distinct = tuple(dict.fromkeys(rename.values()))
    if len(distinct) < 2 or not all(distinct):
        raise UserError(
            f"The labels are {list(distinct)}; a task needs at least two, none of them empty."
        )
    frames = frames_by_split(parts, names, label_column)
    languages = list(dict.fromkeys(language for language, _ in frames))
    if source not in languages:
        raise UserError(
            f"There are no rows of the source language {source!r}; choose from"
            f" {', '.join(languages)}."
        )
    targets = tuple(language for language in languages if language != source)
    return Task(name, prompt, distinct, source, targets, MemoryTables(frames), rename=rename)


def frames_by_split(
    parts: list[TableFile], names: Mapping[str, str], label_column: str
) -> dict[tuple[str, str], pd.DataFrame]:
    """{(language, split): its rows as `standard_table`}; rows are numbered where ids repeat."""
    pieces: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for part in parts:
        for language, rows in rows_by_language(part):
            drawn = part.split == DRAW_SPLITS
            splits = split_rows(rows, label_column) if drawn else {part.split: rows}
            for split, frame in splits.items():
                table = standard_table(frame, names, label_column)
                pieces.setdefault((language, split), []).append(table)
    frames = {key: pd.concat(tables, ignore_index=True) for key, tables in pieces.items()}
    for table in frames.values():
        if table["id"].duplicated().any():
            table["id"] = [str(number) for number in range(len(table))]
    return frames


def rows_by_language(part: TableFile) -> list[tuple[str, pd.DataFrame]]:
    """(language, its rows) of a file."""
    column = part.language_column
    if column is None:
        return [(slug(part.language, UNKNOWN_LANGUAGE), part.frame)]
    check_column(part.frame, column, "choose a column that all files have, or one language a file.")
    return [
        (slug(language, UNKNOWN_LANGUAGE), rows)
        for language, rows in part.frame.groupby(part.frame[column].map(str))
    ]


def split_rows(frame: pd.DataFrame, label_column: str, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Rows dealt to the three splits in their `SHARES`, label by label, in an order drawn with a
    seed; a split that gets none is left out.
    """
    check_column(frame, label_column, "choose a label column that all files have.")
    labels = frame[label_column].map(str)
    dealt: dict[str, list[int]] = {split: [] for split in SHARES}
    for value in sorted(set(labels)):
        rows = [row for row, label in enumerate(labels) if label == value]
        order = random.Random(f"{seed}{value}").sample(rows, len(rows))
        start = 0
        for split, share in SHARES.items():
            stop = len(order) if split == "test" else start + round(share * len(order))
            dealt[split] += order[start:stop]
            start = stop
    return {split: frame.iloc[sorted(rows)] for split, rows in dealt.items() if rows}


def standard_table(
    frame: pd.DataFrame, names: Mapping[str, str], label_column: str
) -> pd.DataFrame:
    """The rows under the names that a prompt uses: all cells text, the columns "id" and "label"
    among them.
    """
    check_column(frame, label_column, "choose a label column that all files have.")
    texts = {
        names[column]: [str(value) for value in frame[column]]
        for column in map(str, frame.columns)
        if column != label_column and names[column] != "label"
    }
    ids = texts.pop("id", [str(index) for index in frame.index])
    labels = [str(value) for value in frame[label_column]]
    return pd.DataFrame({"id": ids, **texts, "label": labels})


def check_column(frame: pd.DataFrame, column: str, advice: str):
    if column not in frame.columns:
        raise UserError(
            f"A file has no column {column!r}, only {', '.join(map(str, frame.columns))}; {advice}"
        )
