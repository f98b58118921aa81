"""The accuracy curves of several runs in one chart."""

from collections.abc import Mapping

import plotly.graph_objects as go

from ctsft import runs
from ctsft.jobs.requests import needed_request
from ctsft.plots import accuracy_curves
from ctsft.runs import results
from ctsft.utils.errors import UserError
from explorer.session import inputs

MAX_CURVES = len(accuracy_curves.SYMBOLS)  # more look alike


def start_of(row: Mapping) -> tuple:
    """What has to be equal for the curves of two runs to share one level before tuning."""
    return row["model"], row["task"], row["source"], round(row["source_before"], 6)


def overlay(rows: list[Mapping], names: list[str]) -> tuple[go.Figure, int]:
    """The curves of the runs with the same start as the first one, at most `MAX_CURVES`, and the
    number of runs that are left out.
    """
    comparable = [
        (row, name)
        for row, name in zip(rows, names, strict=True)
        if start_of(row) == start_of(rows[0])
    ][:MAX_CURVES]
    history = {name: results.evaluations(runs.get(row["run"])) for row, name in comparable}
    before = {}
    for evaluations in history.values():
        before |= evaluations[0]["accuracy"]
    roles = {rows[0]["source"]: "source"} | {row["target"]: "target" for row, _ in comparable}
    fig = accuracy_curves.overlay_curves(
        {name: accuracy_curves.accuracy_rows(rows) for name, rows in history.items()},
        roles,
        before,
        total_steps=max(map(planned_steps, history.values())),
        chance=chance(rows[0]),
    )
    return fig, len(rows) - len(comparable)


def planned_steps(evaluations: list[dict]) -> int:
    return evaluations[0].get("steps", evaluations[-1]["step"])


def chance(row: Mapping) -> float | None:
    """What guessing reaches; None where the task's file is not on this machine."""
    subject = needed_request(runs.get(row["run"])).subject
    try:
        return 1 / len(inputs.load_task(subject.task, subject.data_dir or "").labels)
    except UserError:
        return None
