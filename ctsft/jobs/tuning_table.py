"""Finished and running fine-tuning runs as rows of one table, read from their folders."""

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ctsft.jobs.requests import FinetuneRequest, request_of
from ctsft.jobs.tuning_settings import (
    MAIN,
    SHORT,
    common_settings,
    setting,
    setting_text,
    settings_of,
)
from ctsft.runs.explorations import origin_of
from ctsft.runs.folder import Run, file_stamp, is_settled
from ctsft.runs.notes import FILE, read_note
from ctsft.runs.results import evaluations, perplexity_ends, result
from ctsft.runs.run_list import list_read_only, list_runs
from ctsft.utils.csv_text import csv_text

COLUMNS = (
    "run",
    "name",
    "state",
    "what",
    "heads",
    "target",
    "n",
    "learning_rate",
    "epochs",
    "seed",
    "trainable",
    "share",
    "source",
    "source_before",
    "source_after",
    "target_before",
    "target_after",
    "forgetting",
    "source_lowest",
    "source_area_lost",
    "gain",
    "perplexity_before",
    "perplexity_after",
    "seconds",
    "experiment",
    "note",
)


# what a row is made of
READ = ("request.json", "status.json", "events.jsonl", "result.json", FILE)


ACTIVE = ("queued", "running", "stopping")


def table_row(run: Run) -> dict | None:
    """The row of one tuning run; None before its first evaluation, and for competence tuning
    (source and target the same).

    Made once for as long as the run's files stay the same; only the state of an active run is read
    again.
    """
    folder = os.fspath(run.path)
    stamps = tuple(file_stamp(f"{folder}/{name}") for name in READ)
    row = (
        _row(run.path, stamps)
        if all(one is None or is_settled(one) for one in stamps)
        else _row.__wrapped__(run.path, stamps)
    )
    if row and row["state"] in ACTIVE:
        return row | {"state": run.status().state}
    return row and dict(row)


@lru_cache(maxsize=10_000)
def _row(path: Path, stamped: tuple) -> dict | None:
    run = Run(path)
    request, rows, done, said = request_of(run), evaluations(run), result(run), read_note(run)
    if not isinstance(request, FinetuneRequest):  # of an earlier version
        return None
    tuning, config = request.tuning, request.config
    names = list(rows[0]["accuracy"]) if rows else []
    if len(names) < 2 or tuning.target not in names:
        return None
    source, target = names[0], tuning.target
    # where curves are of another split
    ends = [done["final"][when] for when in ("before", "after")] if done.get("final") else []
    before, after = (
        ({name: of["accuracy"] for name, of in end.items()} for end in ends)
        if ends
        else (rows[0]["accuracy"], rows[-1]["accuracy"])
    )
    measured = [end.get(name) for end in (before, after) for name in (source, target)]
    if None in measured:  # not measured, or on no rows
        return None
    model = request.facts.model or request.subject.model
    subject = replace(request.subject, model=model, language=source)
    trial_of = request.trial_of
    settings = settings_of(subject, tuning, config)
    settings["measured_on"] = done["final"]["split"] if ends else tuning.eval_split
    settings["setting"] = trial_of.trial.setting if trial_of else None
    return {
        "run": run.id,
        "origin": origin_of(run),
        "name": said.name or request.name,
        "given": request.name,
        "state": run.status().state,
        "what": tuning.what,
        "heads": done.get("heads"),
        "hold": config.hold,
        **{name: settings.get(name) for name in ("target", "n", "learning_rate", "epochs", "seed")},
        "trainable": done.get("trainable"),
        "share": share_of(done),
        "source": source,
        "source_before": before[source],
        "source_after": after[source],
        "target_before": before[target],
        "target_after": after[target],
        "forgetting": before[source] - after[source],
        **on_the_way(rows, source),
        "gain": after[target] - before[target],
        **general_ability(rows),
        "related": {
            name: (before[name], after[name])
            for name in before
            if name not in (source, target) and None not in (before[name], after.get(name))
        },
        "seconds": rows[-1].get("seconds"),
        "shares": share_changes(done.get("shares"), source, target),
        "note": said.note,
        "experiment": trial_of.run if trial_of else "",
        "created": request.created,
        "measured": measured_rows(done),
        "task": subject.task,
        "model": subject.model,
        "settings": settings,
        "setting": setting(subject, tuning, config),
    }


def share_changes(measured: dict | None, source: str, target: str) -> list[dict]:
    """[{"share", "source_change", "target_change"}] against share 0; [] where none was measured."""
    points = (measured or {}).get("points", [])
    if not points or not {source, target} <= points[0]["accuracy"].keys():
        return []
    return [
        {
            "share": point["share"],
            "source_change": point["accuracy"][source] - points[0]["accuracy"][source],
            "target_change": point["accuracy"][target] - points[0]["accuracy"][target],
        }
        for point in points
    ]


def share_of(done: dict) -> float | None:
    """The trained share of the parameters; None where a summary does not say it."""
    trainable, total = done.get("trainable"), done.get("total")
    return None if trainable is None or not total else trainable / total


def general_ability(rows: list[dict]) -> dict[str, float | None]:
    """The perplexity of the run's texts before and after; None where none was measured."""
    ends = perplexity_ends(rows) or {}
    return {f"perplexity_{when}": ends.get(when) for when in ("before", "after")}


def on_the_way(rows: list[dict], source: str) -> dict[str, float | None]:
    """The lowest source accuracy of the curve, and the area lost: the mean over the steps of what
    was lost since before tuning (below 0: gained). None without an evaluation in between.
    """
    steps = [row["step"] for row in rows]
    accuracies = [row["accuracy"][source] for row in rows]
    if len(rows) < 3 or None in accuracies or steps[-1] == steps[0]:
        return {"source_lowest": None, "source_area_lost": None}
    lost = accuracies[0] - np.trapezoid(accuracies, steps) / (steps[-1] - steps[0])
    return {"source_lowest": min(accuracies), "source_area_lost": float(lost)}


def measured_rows(done: dict) -> dict[str, int]:
    """{language: the number of rows that its figures before and after are of}."""
    final = done.get("final")
    if final:
        return {name: of["rows"] for name, of in final["after"].items() if "rows" in of}
    return done.get("rows") or {}


def table_rows(kind: str = "finetune", recorded: bool = False) -> list[dict]:
    """Newest first; then the runs of explorations. recorded: whether the program's own ones are
    among them.
    """
    listed = [*list_runs(kind), *list_read_only(kind, recorded)]
    return [row for row in map(table_row, listed) if row]


def table_csv(rows: list[dict]) -> str:
    return csv_text(COLUMNS, rows)


def table_text(rows: list[dict]) -> str:
    """For the shell: what is trained, how much, the settings in which the runs differ, and both
    accuracies before and after; then what they share.
    """
    if not rows:
        return (
            "No fine-tuning run has been evaluated yet; start one with `python -m ctsft finetune"
            " --target javanese`."
        )
    same, differing = common_settings(rows)
    head = (
        "run",
        "what",
        "heads",
        "trained",
        *(SHORT.get(name, name) for name in differing),
        "source",
        "target acc.",
        *(["note"] if any(row["note"] for row in rows) else []),
    )
    lines = [head] + [
        (
            row["run"],
            str(row["what"]),
            "" if row["heads"] is None else str(row["heads"]),
            "" if row["share"] is None else f"{row['share']:.2%}",
            *(setting_text(row["settings"].get(name)) for name in differing),
            f"{row['source_before']:.3f} -> {row['source_after']:.3f}",
            f"{row['target_before']:.3f} -> {row['target_after']:.3f}",
            " ".join(row["note"].split())[:60],
        )[: len(head)]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    shared = ", ".join(
        f"{SHORT.get(name, name)} {setting_text(same[name])}"
        for name in MAIN
        if same.get(name) not in (None, "")
    )
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*table, f"{'All' if len(rows) > 1 else 'It'}: {shared}."])
