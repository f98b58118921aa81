"""Tiny tasks: rows of known words, task files and their tables, rows that a model predicts
correctly.
"""

import csv
import json
import random
from collections.abc import Mapping
from pathlib import Path

from ctsft.data.task import Example, Task
from ctsft.model.evaluation import predict

LABELS = ("negative", "neutral", "positive")


PROMPT = "{text} | sentiment:"


WORDS = (
    "the",
    "a",
    "of",
    "and",
    "rice",
    "tea",
    "house",
    "road",
    "very",
    "quite",
    "bad",
    "poor",
    "plain",
    "usual",
    "good",
    "great",
    "came",
    "went",
    "was",
    "is",
    "here",
    "there",
    "slow",
    "fast",
    "cold",
    "warm",
    "old",
    "new",
    "service",
    "room",
    "price",
    "film",
    "play",
    "song",
    "day",
    "night",
    "rain",
    "sun",
)


CUES = {"negative": ("bad", "poor"), "neutral": ("plain", "usual"), "positive": ("good", "great")}


def texts(n: int, seed: int = 0, longest: int = 9) -> list[str]:
    """Different texts of 2 to `longest` words."""
    draw = random.Random(seed)
    return list(
        dict.fromkeys(
            " ".join(draw.choices(WORDS, k=draw.randint(2, longest))) for _ in range(3 * n)
        )
    )[:n]


def examples(n: int, seed: int, longest: int = 9) -> list[Example]:
    """Rows of such texts; labels take turns."""
    return [
        Example(str(i), text, LABELS[i % 3], {"text": text})
        for i, text in enumerate(texts(n, seed, longest))
    ]


def cued(n: int, seed: int = 0) -> list[Example]:
    """Rows whose label a word of theirs tells, so that a tiny model can learn them; labels take
    turns.
    """
    draw, rows = random.Random(seed), []
    plain = [word for word in WORDS if not any(word in words for words in CUES.values())]
    for i in range(n):
        label = LABELS[i % 3]
        words = [*draw.choices(plain, k=draw.randint(2, 5)), draw.choice(CUES[label])]
        draw.shuffle(words)
        rows.append(Example(f"c{i}", " ".join(words), label, {"text": " ".join(words)}))
    return rows


def write_csv(path: Path, rows: list[Example]):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows(
            [("id", "text", "label"), *((row.id, row.text, row.label) for row in rows)]
        )


def task_words(**changes) -> dict:
    """A task file's content; a change to None takes the key out."""
    words = {
        "name": "reviews",
        "prompt": PROMPT,
        "labels": list(LABELS),
        "source": "indonesian",
        "targets": ["javanese"],
        "files": "{language}/{split}.csv",
    }
    return {key: value for key, value in (words | changes).items() if value is not None}


def write_task(
    folder: Path, rows: Mapping[tuple[str, str], list[Example]] | None = None, **changes
) -> Path:
    """A task file and its CSV files: `rows` by (language, split), by default 12, 6 and 6 cued ones
    of both languages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "reviews.json"
    path.write_text(json.dumps(task_words(**changes)), encoding="utf-8")
    sizes = {"train": 12, "valid": 6, "test": 6}
    rows = rows or {
        (language, split): cued(n, i)
        for i, language in enumerate(("indonesian", "javanese"))
        for split, n in sizes.items()
    }
    for (language, split), these in rows.items():
        write_csv(folder / language / f"{split}.csv", these)
    return path


def agreed(model, task: Task, each: int, seed: int = 0) -> list[Example]:
    """`each` rows a label whose label is what the model predicts: correctly predicted by
    construction.
    """
    rows = [
        Example(f"a{i}", text, LABELS[0], {"text": text}) for i, text in enumerate(texts(400, seed))
    ]
    by_label = {label: [] for label in LABELS}
    for row, label in zip(rows, predict(model, task, rows), strict=True):
        by_label[label].append(Example(row.id, row.text, label, row.fields))
    assert min(map(len, by_label.values())) >= each, {
        label: len(these) for label, these in by_label.items()
    }
    return [row for i in range(each) for row in (by_label[label][i] for label in LABELS)]


def two_languages(
    source: list[Example], train: int, valid: int, target: tuple[int, int, int]
) -> dict[tuple[str, str], list[Example]]:
    """Rows for `write_task`: Indonesian ones cut into train, valid and test; `target` counts the
    Javanese ones of each split.
    """
    cuts = {"train": (0, train), "valid": (train, train + valid), "test": (train + valid, None)}
    rows = {("indonesian", split): source[slice(*cut)] for split, cut in cuts.items()}
    return rows | {
        ("javanese", split): cued(n, i)
        for i, (split, n) in enumerate(zip(cuts, target, strict=True))
    }


def row_of(**fields) -> Example:
    """A row with these columns."""
    return Example("0", fields.get("text", ""), "neutral", fields)
