"""A task of the user's own from tables they hand over: which file is which language and split,
which column the label, which words the prompt.

A draft is a `Task` whose rows are in memory, so that a preview goes the way every task goes; `keep`
writes it as a folder with a task file and one CSV file for each language and split, which any later
session, or the shell, opens by its path.
"""

import json
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ctsft.data.sources import SPLITS
from ctsft.data.task import Task, label_token, placeholders
from ctsft.data.token_text import readable_tokens
from ctsft.utils.errors import UserError
from ctsft.utils.file_names import slug

# instead of a split: 70 % train, 15 % valid, 15 % test
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

MAX_LABELS = 20


@dataclass(frozen=True)
class MemoryTables:
    """Rows in memory by (language, split): what `sources.Files` is for files."""

    frames: Mapping[tuple[str, str], pd.DataFrame] = field(hash=False)

    def splits(self, language: str) -> list[str]:
        return [split for split in SPLITS if (language, split) in self.frames]

    def read(self, language: str, split: str) -> pd.DataFrame:
        if (language, split) not in self.frames:
            raise UserError(
                f"There are no {split!r} rows of {language!r}; hand over a file that holds them."
            )
        return self.frames[language, split]


@dataclass(frozen=True)
class TableFile:
    """One file: its rows, and what they are. `language_column` names the language of each row
    instead.
    """

    frame: pd.DataFrame = field(hash=False)
    language: str
    split: str = DRAW_SPLITS
    language_column: str | None = None


@dataclass(frozen=True)
class LabelTokens:
    """A label as the model would have to answer it; `one`: it is a single known token."""

    label: str
    pieces: list[str]
    single: bool


def guess_language_and_split(file_name: str) -> tuple[str, str]:
    """Language and split that a file's name suggests: "javanese-train.csv" -> ("javanese",
    "train"); ("texts", DRAW) when it tells nothing.
    """
    words = [word for word in re.split(r"[^\w]+|_", Path(file_name).stem.lower()) if word]
    split = next((SPLIT_SPELLINGS[word] for word in words if word in SPLIT_SPELLINGS), DRAW_SPLITS)
    return slug("-".join(word for word in words if word not in SPLIT_SPELLINGS), "texts"), split


def prompt_names(frame: pd.DataFrame) -> dict[str, str]:
    """{column: the name a prompt calls it by}: letters, digits and underscores, each once."""
    found: dict[str, str] = {}
    for column in map(str, frame.columns):
        name = re.sub(r"\W+", "_", column).strip("_") or "column"
        name = f"c_{name}" if name[0].isdigit() else name
        while name in found.values():
            name += "_"
        found[column] = name
    return found


def label_values(frames: Iterable[pd.DataFrame], column: str) -> list[str]:
    """The distinct values of a label column, sorted; UserError when they are fewer than two or too
    many to be labels.
    """
    values = sorted(
        {str(value) for frame in frames if column in frame.columns for value in frame[column]}
    )
    if not 2 <= len(values) <= MAX_LABELS:
        many = "one value" if len(values) == 1 else f"{len(values)} different values"
        raise UserError(
            f"The column {column!r} holds {many}; a label column holds 2 to {MAX_LABELS}."
        )
    return values


def draft_task(
    name: str,
    prompt: str,
    parts: list[TableFile],
    label_column: str,
    words: Mapping[str, str],
    source: str,
) -> Task:
    """A task in memory. `words`: {value of the label column: label}; `source`: the language that
    comes first.

    Raises UserError for a prompt that names no column, or the label's; labels that are not at least
    two; a language without rows.
    """
    names = {column: name for part in parts for column, name in prompt_names(part.frame).items()}
    if names.get(label_column, "") in placeholders(prompt):
        raise UserError(
            f"The prompt names {label_column!r}, the label itself, which the model is to answer;"
            " take it out of the prompt."
        )
    labels = tuple(dict.fromkeys(word.strip() for word in words.values()))
    if len(labels) < 2 or not all(labels):
        raise UserError(
            f"The labels are {list(labels)}; a task needs at least two, none of them empty."
        )
    frames: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for part in parts:
        for language, rows in rows_by_language(part):
            for split, some in (
                split_rows(rows, label_column).items()
                if part.split == DRAW_SPLITS
                else ((part.split, rows),)
            ):
                frames.setdefault((language, split), []).append(
                    standard_table(some, names, label_column)
                )
    languages = list(dict.fromkeys(language for language, _ in frames))
    if source not in languages:
        raise UserError(
            f"There are no rows of the source language {source!r}; choose from"
            f" {', '.join(languages)}."
        )
    joined = {key: pd.concat(some, ignore_index=True) for key, some in frames.items()}
    for table in joined.values():
        if table["id"].duplicated().any():
            table["id"] = [str(number) for number in range(len(table))]
    return Task(
        name,
        prompt,
        labels,
        source,
        tuple(language for language in languages if language != source),
        MemoryTables(joined),
        rename={value: word.strip() for value, word in words.items()},
    )


def rows_by_language(part: TableFile) -> list[tuple[str, pd.DataFrame]]:
    if part.language_column is None:
        return [(slug(part.language, "texts"), part.frame)]
    if part.language_column not in part.frame.columns:
        raise UserError(
            f"A file has no column {part.language_column!r}; name a column that all files have, or"
            " one language a file."
        )
    return [
        (slug(language, "texts"), rows)
        for language, rows in part.frame.groupby(part.frame[part.language_column].map(str))
    ]


def split_rows(frame: pd.DataFrame, label_column: str, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Rows dealt to the three splits, label by label, in an order drawn with a seed; a split that
    gets none is left out.
    """
    if label_column not in frame.columns:
        raise UserError(
            f"A file has no column {label_column!r}; name the label column that all files have."
        )
    found: dict[str, list[int]] = {split: [] for split in SHARES}
    for value in sorted(set(frame[label_column].map(str))):
        at = [i for i, own in enumerate(frame[label_column].map(str)) if own == value]
        order, start = random.Random(f"{seed}{value}").sample(at, len(at)), 0
        for split, share in SHARES.items():
            stop = len(order) if split == "test" else start + round(share * len(order))
            found[split] += order[start:stop]
            start = stop
    return {split: frame.iloc[sorted(rows)] for split, rows in found.items() if rows}


def standard_table(
    frame: pd.DataFrame, names: Mapping[str, str], label_column: str
) -> pd.DataFrame:
    """A table whose columns a task file can name: everything text, the label under "label", an
    "id".
    """
    if label_column not in frame.columns:
        raise UserError(
            f"A file has no column {label_column!r}; its columns are"
            f" {', '.join(map(str, frame.columns))}."
        )
    plain = {
        names[column]: [str(value) for value in frame[column]]
        for column in map(str, frame.columns)
        if column != label_column and names[column] != "label"
    }
    plain.setdefault("id", [str(index) for index in frame.index])
    return pd.DataFrame(
        {"id": plain.pop("id"), **plain, "label": [str(value) for value in frame[label_column]]}
    )


def label_tokens(tokenizer, labels: Iterable[str]) -> list[LabelTokens]:
    """What each label becomes, whether it can be an answer or not."""
    found = []
    for label in labels:
        try:
            found.append(
                LabelTokens(
                    label, readable_tokens(tokenizer, [label_token(tokenizer, label)]), True
                )
            )
        except UserError:
            found.append(
                LabelTokens(
                    label,
                    readable_tokens(
                        tokenizer, tokenizer(" " + label, add_special_tokens=False)["input_ids"]
                    ),
                    False,
                )
            )
    return found


def save_task(task: Task, folder: Path) -> Path:
    """Write a draft below `folder`, in a new folder of its own; the path of its task file."""
    place, count = folder / slug(task.name, "task"), 1
    while place.exists():
        count += 1
        place = folder / f"{slug(task.name, 'task')}-{count}"
    for (language, split), frame in task.rows.frames.items():
        path = place / language / f"{split}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
    words = {
        "name": task.name,
        "prompt": task.prompt,
        "labels": list(task.labels),
        "source": task.source,
        "targets": list(task.targets),
        "files": "{language}/{split}.csv",
        "rename": {value: word for value, word in task.rename.items() if value != word},
    }
    path = place / "task.json"
    path.write_text(json.dumps(words, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path
