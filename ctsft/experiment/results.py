"""What an experiment came to: its finished trials as rows, its tables, its summary."""

import json

from ctsft.experiment import tables
from ctsft.experiment.trials import finished
from ctsft.jobs.experiment_design import Design
from ctsft.jobs.reporter import finish
from ctsft.runs.folder import Run
from ctsft.utils.atomic_files import atomic_path

FILES = ("table.md", "table.tex", "table.csv", "pairs.csv", "rows.csv", "table.json")


def finished_rows(run: Run, design: Design) -> tuple[list[dict], dict[tuple[str, str], float]]:
    """Flat rows of an experiment's finished trials, and the learning rates that were chosen; both
    are read from its folders.
    """
    try:
        chosen = {
            (one["setting"], one["method"]): one["learning_rate"]
            for one in json.loads(run.file("choices.json").read_text(encoding="utf-8"))
        }
    except (OSError, ValueError):
        chosen = {}
    source = design.source or source_language(run)
    found = [(trial, finished(run.id, trial)) for trial in design.trials(chosen)]
    return [tables.trial_row(trial, row, source) for trial, row in found if row], chosen


def source_language(run: Run) -> str:
    """The source language that an experiment used; "" before it began."""
    return run.request.facts.source


def conclude(run: Run, design: Design, source: str, rates: dict, failed: list[dict]) -> dict:
    """The tables of all finished trials in the run folder, and a summary."""
    rows, _ = finished_rows(run, design)
    write_tables(run, rows, source)
    chosen = [
        {"setting": setting, "method": method, "learning_rate": rate}
        for (setting, method), rate in rates.items()
    ]
    return finish(
        run,
        {
            "design": design.name,
            "source": source,
            "cells": len(rows),
            "of": len(design.trials(rates)),
            "failed": failed,
            "learning_rates": chosen,
            "files": [str(run.file(name)) for name in FILES],
            "pairs": tables.paired_differences(rows),
        },
    )


def write_tables(run: Run, rows: list[dict], source: str) -> str:
    """All formats, in the run folder; the Markdown is returned."""
    long, pairs, text = (
        tables.long_table(rows),
        tables.paired_differences(rows),
        tables.markdown(rows, source),
    )
    words = {"table": long, "pairs": pairs, "rows": rows}
    for name, content in zip(
        FILES,
        (
            text,
            tables.latex(rows),
            tables.as_csv(long),
            tables.as_csv(pairs),
            tables.as_csv(rows),
            json.dumps(words, indent=1) + "\n",
        ),
        strict=True,
    ):
        with atomic_path(run.file(name), "a table") as part:
            part.write_text(content, encoding="utf-8")
    return text
