"""A task made of the user's tables: which file holds which language and split, which column holds
the label, and what the prompt is.

A draft is a `Task` whose rows are in memory, so a preview reads it like every other task.
`task_file.write_task` saves it, and it is opened later by the path of its task file.

Rows that are split at random are split by text: rows with the same text, and rows whose text stands
in a file of a named split, are in one split (`text_split`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ctsft.data.cells import NotText, cells, text_of, texts
from ctsft.data.placeholders import LABEL, placeholders
from ctsft.data.sources import SPLITS
from ctsft.data.task import Task
from ctsft.data.text_split import Rows, normalised, split_by_text
from ctsft.utils.errors import UserError, cut, quoted
from ctsft.utils.file_names import slug

# in place of a split: the rows are dealt to all three
DRAW_SPLITS = "draw"

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
    more than `MAX_LABELS`, and for a row whose label is not text.
    """
    with_column = [frame for frame in frames if column in frame.columns]
    values = sorted({label for frame in with_column for label in texts(frame, column)})
    if not 2 <= len(values) <= MAX_LABELS:
        number = "one value" if len(values) == 1 else f"{len(values)} different values"
        raise UserError(
            f"The column {quoted(column)} holds {number}; a label column holds 2 to {MAX_LABELS}."
        )
    return values


# ---- the task --------------------------------------------------------------


def draft_task(
    name: str,
    prompt: str,
    parts: list[TableFile],
    label_column: str,
    labels: Mapping[str, str | None],
    source: str,
) -> Task:
    """A task in memory. `labels`: {value of the label column: label}, None for a value whose rows
    are left out; `source`: the source language.

    Raises UserError for a prompt that names no column, or names the label's; for fewer than two
    labels; for a source language without rows; for a row whose text or label is missing.
    """
    names = {column: name for part in parts for column, name in prompt_names(part.frame).items()}
    named = placeholders(prompt)
    if names.get(label_column, "") in named:
        raise UserError(
            f"The prompt names {quoted(label_column)}, the label itself, which the model is to"
            " answer; remove it from the prompt."
        )
    rename = {value: label.strip() for value, label in labels.items() if label is not None}
    distinct = tuple(dict.fromkeys(rename.values()))
    if len(distinct) < 2 or not all(distinct):
        raise UserError(
            f"The labels are {quoted(list(distinct))}; a task needs at least two, none of them"
            " empty."
        )
    left_out = {value for value, label in labels.items() if label is None}
    columns = Columns(names, label_column, tuple(named), frozenset(left_out))
    frames = frames_by_split(parts, columns)
    languages = list(dict.fromkeys(language for language, _ in frames))
    if source not in languages:
        raise UserError(
            f"There are no rows of the source language {quoted(source)}; choose from"
            f" {', '.join(languages)}."
        )
    targets = tuple(language for language in languages if language != source)
    return Task(name, prompt, distinct, source, targets, MemoryTables(frames), rename=rename)


@dataclass(frozen=True)
class Columns:
    """What the columns of the tables are: `names` {column: its name in a prompt}, the label's
    column, the names that the prompt uses, and the labels whose rows are left out.
    """

    names: Mapping[str, str] = field(hash=False)
    label: str
    prompt: tuple[str, ...]
    left_out: frozenset[str] = frozenset()


def frames_by_split(
    parts: list[TableFile], columns: Columns
) -> dict[tuple[str, str], pd.DataFrame]:
    """{(language, split): its rows as `standard_table`}; rows are numbered where ids repeat."""
    tables: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for part in parts:
        for language, rows in rows_by_language(part):
            table = standard_table(rows, columns)
            if len(table):
                tables.setdefault((language, part.split), []).append(table)
    given = {key: pd.concat(of_split, ignore_index=True) for key, of_split in tables.items()}
    frames = {}
    for language in dict.fromkeys(language for language, _ in given):
        of_language = {split: table for (name, split), table in given.items() if name == language}
        for split, table in deal(of_language, columns.prompt).items():
            if table["id"].duplicated().any():
                table["id"] = [str(number) for number in range(len(table))]
            frames[language, split] = table
    return frames


def deal(tables: Mapping[str, pd.DataFrame], prompt: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """{split: its rows} of one language: the rows to be split at random are dealt to the splits."""
    named = {split: tables[split] for split in SPLITS if split in tables}
    if DRAW_SPLITS not in tables:
        return named
    drawn = tables[DRAW_SPLITS]
    given = {split: table_rows(table, prompt).texts for split, table in named.items()}
    dealt = split_by_text(table_rows(drawn, prompt), given)
    pieces = {split: [table] for split, table in named.items()}
    for split, rows in dealt.items():
        pieces.setdefault(split, []).append(drawn.iloc[rows])
    return {
        split: pd.concat(pieces[split], ignore_index=True) for split in SPLITS if split in pieces
    }


def table_rows(table: pd.DataFrame, prompt: tuple[str, ...]) -> Rows:
    """The texts that a prompt puts together from each row, and the labels."""
    names = [name for name in dict.fromkeys(prompt) if name in table.columns]
    joined = [" ".join(row) for row in table[names].itertuples(index=False)]
    return Rows(joined, table[LABEL].tolist())


def repeated_texts(task: Task) -> dict[str, int]:
    """{language: how many texts of its train rows stand in its validation or test rows, too} of a
    draft, for the languages that have some. Rows split at random have none.
    """
    counts = {}
    for language in task.languages:
        of_split = {
            split: set(map(normalised, table_rows(frame, tuple(task.columns)).texts))
            for (name, split), frame in task.rows.frames.items()
            if name == language
        }
        others = of_split.get("valid", set()) | of_split.get("test", set())
        if repeated := len(of_split.get("train", set()) & others):
            counts[language] = repeated
    return counts


def rows_by_language(part: TableFile) -> list[tuple[str, pd.DataFrame]]:
    """(language, its rows) of a file."""
    column = part.language_column
    if column is None:
        return [(slug(part.language, UNKNOWN_LANGUAGE), part.frame)]
    check_column(part.frame, column, "choose a column that all files have, or one language a file.")
    languages = [slug(name, UNKNOWN_LANGUAGE) for name in texts(part.frame, column)]
    return [
        (language, part.frame[[name == language for name in languages]])
        for language in sorted(set(languages))
    ]


def standard_table(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The rows under the names that a prompt uses: all cells text, the columns "id" and "label"
    among them, without the rows that are left out. A column that the prompt does not name is
    dropped where it holds anything but text.

    UserError names a row whose label, id or text is not text.
    """
    check_column(frame, columns.label, "choose a label column that all files have.")
    for column, name in columns.names.items():
        if name in columns.prompt and name != LABEL:
            check_column(frame, column, "the prompt names columns that all files have.")
    labels = texts(frame, columns.label)
    rows = [row for row, label in enumerate(labels) if label not in columns.left_out]
    table: dict[str, list[str]] = {}
    for column in map(str, frame.columns):
        name = columns.names[column]
        if column == columns.label or name == LABEL:
            continue
        values = cells(frame[column].iloc[rows], rows=rows)
        if name == "id" or name in columns.prompt:
            table[name] = [text_of(value, column) for value in values]
        elif not any(isinstance(value, NotText) for value in values):
            table[name] = values
    ids = table.pop("id", [str(frame.index[row]) for row in rows])
    return pd.DataFrame({"id": ids, **table, LABEL: [labels[row] for row in rows]}, dtype=object)


def check_column(frame: pd.DataFrame, column: str, advice: str):
    if column not in frame.columns:
        raise UserError(
            f"A file has no column {quoted(column)}, only"
            f" {cut(', '.join(map(str, frame.columns)))}; {advice}"
        )
