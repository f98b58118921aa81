"""What an experiment came to: its finished trials as rows, its tables, its summary."""

import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field, TypeAdapter

from ctsft.experiment import method_differences, tables
from ctsft.experiment.trials import finished, trial_run_id
from ctsft.jobs.experiment_design import Design, Trial
from ctsft.jobs.reporter import finish
from ctsft.jobs.tuning_table import share_changes
from ctsft.model.evaluation import metric_changes
from ctsft.runs.answers import Answers, answers_of
from ctsft.runs.folder import Run
from ctsft.runs.recorder import run_folder
from ctsft.utils.atomic_files import write_text
from ctsft.utils.json_files import parse_json, read_regular

FILES = ("table.md", "table.tex", "table.csv", "pairs.csv", "rows.csv", "table.json")


class Choice(BaseModel):
    """The learning rate that was chosen for a method."""

    setting: str
    method: str
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]


CHOICES = TypeAdapter(list[Choice])


def finished_rows(run: Run, design: Design) -> tuple[list[dict], dict[tuple[str, str], float]]:
    """Flat rows of an experiment's finished trials (`tables.trial_row`, with the changes of each
    share as "shares" where they were measured, and {side: (row ids, right or wrong after tuning)}
    as "answers"), and the learning rates that were chosen, {(setting, method): rate}; both are read
    from its folders.
    """
    rates = chosen_rates(run)
    source = design.source or source_language(run)
    rows = []
    for trial in design.trials(rates):
        row = finished(run.id, trial)
        if not row:
            continue
        shares = share_changes(row.get("shares"), source, trial.target)
        answers = answers_of(Run(run_folder(trial_run_id(run.id, trial))))
        sides = {"target": answers.get(trial.target), "source": answers.get(source)}
        nested = {"shares": shares} if shares else {}
        if all(sides.values()):
            nested["answers"] = {side: (of.ids, of.after) for side, of in sides.items()}
        rows.append(tables.trial_row(trial, row, source) | nested)
        if row.get("at_share"):
            rows.append(row_at_share(trial, row, source, sides))
    return rows, rates


def share_name(share: float, method: str) -> str:
    """How tables name a share of a method's change: "half of full", "0.3 of full"."""
    return f"half of {method}" if share == 0.5 else f"{share:g} of {method}"


def row_at_share(
    trial: Trial, row: Mapping, source: str, sides: Mapping[str, Answers | None]
) -> dict:
    """The flat row of a trial measured with a share of its change, as a method of its own."""
    after = row["at_share"]["after"]
    before = {language: row["before"][language] for language in after}
    named = trial.model_copy(update={"method": share_name(row["at_share"]["share"], trial.method)})
    measured = {"before": before, "after": after}
    changes = metric_changes(before, after, source, trial.target)
    flat = tables.trial_row(named, measured | changes, source)
    if not all(sides.values()):
        return flat
    languages = {"target": trial.target, "source": source}
    answers = {side: (of.ids, after[languages[side]]["right"]) for side, of in sides.items()}
    return flat | {"answers": answers}


def chosen_rates(run: Run) -> dict[tuple[str, str], float]:
    """The learning rates in choices.json; {} where there is none."""
    try:
        choices = CHOICES.validate_python(parse_json(read_regular(run.file("choices.json"))))
    except (OSError, ValueError):
        return {}
    return {(choice.setting, choice.method): choice.learning_rate for choice in choices}


def source_language(run: Run) -> str:
    """The source language that an experiment used; "" before it began."""
    return run.request.facts.source


def finish_experiment(
    run: Run, design: Design, source: str, rates: dict, failed: list[dict]
) -> dict:
    """Write the tables of all finished trials and the summary; returns the summary."""
    rows, _ = finished_rows(run, design)
    write_tables(run, rows, source, design)
    choices = [
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
            "learning_rates": choices,
            "files": [str(run.file(name)) for name in FILES],
            "pairs": method_differences.paired_differences(rows),
        },
    )


def write_tables(run: Run, rows: list[dict], source: str, design: Design) -> str:
    """Write `FILES` to the run folder; returns the Markdown."""
    long, pairs = tables.long_table(rows), method_differences.paired_differences(rows)
    markdown = tables.markdown(rows, source, design.choose_targets)
    contents = (
        markdown,
        tables.latex(rows),
        tables.as_csv(long),
        tables.as_csv(pairs),
        tables.as_csv(rows),
        json.dumps({"table": long, "pairs": pairs, "rows": list(map(tables.flat, rows))}, indent=1)
        + "\n",
    )
    for name, content in zip(FILES, contents, strict=True):
        write_text(run.file(name), content, "a table")
    return markdown
