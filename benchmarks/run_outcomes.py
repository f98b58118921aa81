"""What tuning runs came to, for `benchmarks.forecast`: from stored tables, lines of
`benchmarks.random_cells`, or an experiment's run.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from ctsft import runs
from ctsft.experiment.results import finished_rows
from ctsft.jobs.experiment_design import Design

SIDES = ("target", "source")
BATCH = 16
EPOCHS = {"rough": 8, "gentle": 3}  # of the stored tables
NOT_TUNED_ALIKE = ("direct", "least")  # from another checkpoint; the same heads as near_zero


@dataclass(frozen=True)
class Outcome:
    """One run. before, after: {side: accuracy}. spread: {side: standard deviation over seeds},
    where `after` is a mean. guesses: {name: {side: accuracy that a model of the run expects}}.
    """

    target: str
    method: str
    n: int
    rate: float
    steps: int
    seed: int
    before: dict[str, float]
    after: dict[str, float]
    spread: dict[str, float] = field(default_factory=dict)
    guesses: dict[str, dict[str, float]] = field(default_factory=dict)


def stored_tables(path: Path) -> list[Outcome]:
    """The means of an experiment's stored tables (`examples/nusax.results.md`)."""
    text = path.read_text()
    rates = {
        (setting, method): float(rate)
        for setting, method, rate in re.findall(r"^\| (\w+) \| (\w+) \| ([\d.]+) \|", text, re.M)
    }
    rows: dict[tuple, dict] = {}
    for block in text.split("\n**")[1:]:
        title = re.match(r"(\w+), n = (\d+)\*\*", block)
        lines = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.split("\n")
        ]
        header = next((line for line in lines if line[0] == "target"), None)
        if not title or header is None:
            continue
        for line in lines:
            if len(line) < len(header) or line[1] not in SIDES or line[0] == "all targets":
                continue
            for method, figure in zip(header[3:], line[3:], strict=True):
                mean, spread = map(float, figure.split("±"))
                key = (title[1], int(title[2]), line[0], method)
                rows.setdefault(key, {})[line[1]] = (float(line[2]), mean, spread)
    return [
        Outcome(
            target, method, n, rates[setting, method], -(-n // BATCH) * EPOCHS[setting], 0,
            *({side: figures[side][i] for side in SIDES} for i in range(3)),
        )
        for (setting, n, target, method), figures in rows.items()
        if method not in NOT_TUNED_ALIKE
    ]  # fmt: skip


def collected_cells(path: Path) -> list[Outcome]:
    """The lines of `benchmarks.forecast_cells`."""
    out = []
    for line in map(json.loads, path.read_text().splitlines()):
        cell = line["cell"]
        guesses = {
            name: {side: line["before"][side] + line[name][side]["accuracy"] for side in SIDES}
            for name in ("rehearsal", "linear")
            if name in line
        }
        named = {name: cell[name] for name in ("target", "method", "n", "rate", "seed")}
        out.append(
            Outcome(
                **named, steps=line["steps"], before=line["before"], after=line["after"],
                guesses=guesses,
            )
        )  # fmt: skip
    return out


def design_of(run: runs.Run) -> Design:
    return Design.model_validate_json(run.file("design.json").read_text(encoding="utf-8"))


def experiment_trials(run: runs.Run) -> list[Outcome]:
    """The finished trials of an experiment."""
    design = design_of(run)
    rows, _ = finished_rows(run, design)
    return [
        Outcome(
            row["target"],
            row["method"],
            row["n"],
            row["learning_rate"],
            int(-(-row["n"] // BATCH) * design.setting(row["setting"]).epochs),
            row["seed"],
            *({side: row[f"{side}_{when}"] for side in SIDES} for when in ("before", "after")),
        )
        for row in rows
    ]


def grid_trials(run: runs.Run) -> list[Outcome]:
    """An experiment's trials on validation rows that learning rates are chosen by, as far as they
    are done. What these rows came to before tuning is not stored: NaN.
    """
    design, out = design_of(run), {}
    for event in run.events():
        if event.get("kind") == "grid":
            cell, setting = event["cell"], design.setting(event["cell"]["setting"])
            out[event["key"]] = Outcome(
                cell["target"],
                cell["method"],
                cell["n"],
                cell["learning_rate"],
                int(-(-cell["n"] // BATCH) * setting.epochs),
                cell["seed"],
                dict.fromkeys(SIDES, float("nan")),
                {side: event[side] for side in SIDES},
            )
    return list(out.values())
