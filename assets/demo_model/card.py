"""The model card, from its template in assets/cards."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from demo_model.recipe import HERE, MAX_LENGTH, Recipe
from demo_model.texts import NEAR_COPY, SHINGLE

CARDS = HERE / "cards"  # templates of the model cards
MAX_MEGABYTES = 15


def accuracy_table(scores: dict[str, dict[str, float]]) -> str:
    columns = list(dict.fromkeys(column for row in scores.values() for column in row))
    lines = ["| language | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in scores.items():
        cells = [
            f"{row[column]:.3f}".removeprefix("0") if column in row else "-" for column in columns
        ]
        lines.append(f"| {name.capitalize()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_card(out: Path, scores: dict[str, dict[str, float]]) -> None:
    facts = json.loads((out / "training.json").read_text(encoding="utf-8"))
    removed = "; ".join(
        f"{name}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        for name, counts in facts.pop("removed").items()
    )
    megabytes = sum(path.stat().st_size for path in out.iterdir() if path.name != "README.md") / 1e6
    if megabytes > MAX_MEGABYTES:
        raise SystemExit(
            f"{out} holds {megabytes:.1f} MB, more than {MAX_MEGABYTES}; use a smaller width or"
            " vocabulary"
        )
    template = CARDS / ("base.md" if facts.get("base", False) else "model.md")
    card = template.read_text(encoding="utf-8").format(
        s="" if facts["threads"] == 1 else "s",
        **facts | asdict(Recipe()) | facts["recipe"],
        removed=removed,
        megabytes=megabytes,
        name=os.path.relpath(out, HERE.parent),
        table=accuracy_table(scores),
        max_length=MAX_LENGTH,
        near_copy=NEAR_COPY,
        shingle=SHINGLE,
    )
    (out / "README.md").write_text(card, encoding="utf-8")
