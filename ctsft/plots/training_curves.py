"""Tuning runs, finished or not: accuracies above, the training loss below, one axis of steps.

Colour shows whose accuracy it is, marker and line style show the run; each marker is an evaluation,
and a dashed line the level before tuning.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import plotly.graph_objects as go

from ctsft.plots.accuracy_curves import (
    accuracy_curves,
    accuracy_rows,
    add_start_level,
    overlay_curves,
    run_look,
)
from ctsft.plots.style import COLOURS, alt
from ctsft.runs.folder import Run
from ctsft.runs.results import evaluations, result
from ctsft.utils.errors import UserError
from ctsft.utils.format import hover_text

LOSS_HEIGHT = 150  # pixels of the loss panel

# where the upper panel begins and the lower one ends, in shares of the height
ACCURACY_FROM, LOSS_TO = 0.36, 0.26


@dataclass(frozen=True)
class RunHistory:
    """A run: its name in the chart; its evaluations, rows of {"step", "steps", "loss", "accuracy":
    {set: share}} with the source first in "accuracy"; its target language.
    """

    name: str
    rows: list[Mapping]
    target: str

    @property
    def roles(self) -> dict[str, str]:
        """{set: "source" | "target" | "related"}."""
        names = list(self.rows[0]["accuracy"]) if self.rows else []
        roles = dict.fromkeys(names, "related")
        if names:
            roles[names[0]] = "source"
        if self.target in roles:
            roles[self.target] = "target"
        return roles


def run_curves(runs, *, target: str | None = None, chance: float | None = None) -> go.Figure:
    """Accuracy (0 to 1) of every evaluation set, and below it the training loss, against optimiser
    steps.

    `runs`: a `TuneResult`, its `history`, a run folder (`ctsft.runs.Run` or its path), or several
    of them: {name: one of these}, or a list of run folders. The first evaluation set is the source.
    `target`: the target's set; the run's own one, or the second set, where it is left out.
    `chance`: a level to draw, e.g. 1 / number of labels. UserError for another input, or where no
    run has an evaluation.
    """
    if isinstance(runs, Mapping):
        histories = [read_history(run, target, name) for name, run in runs.items()]
    elif isinstance(runs, (list, tuple)) and all(isinstance(run, (Run, Path)) for run in runs):
        histories = [read_history(run, target) for run in runs]
        if len({history.name for history in histories}) < len(histories):
            ids = [Path(getattr(run, "path", run)).name for run in runs]
            histories = [
                replace(history, name=f"{history.name} ({run_id})")
                for history, run_id in zip(histories, ids, strict=True)
            ]
    else:
        histories = [read_history(runs, target)]
    if not any(history.rows for history in histories):
        raise UserError(
            "There is no evaluation to draw; run_curves draws runs that have been evaluated at"
            " least once."
        )
    return training_curves(histories, chance=chance)


def read_history(run, target: str | None = None, name: str = "") -> RunHistory:
    """The evaluations of a `TuneResult`, of a list of its rows, or of a run folder. UserError for
    anything else, or a target that was not evaluated.
    """
    if isinstance(run, (str, Path)):
        run = Run(Path(run))
    if isinstance(run, Run):
        rows = evaluations(run)
        target, name = target or result(run).get("target"), name or run.request.name or run.id
    else:
        rows = getattr(run, "history", run)
    if not isinstance(rows, Iterable) or not all(_is_evaluation(row) for row in rows):
        raise UserError(
            "run_curves draws a TuneResult (from ctsft.finetune), its history or a run folder, and"
            f" this is {type(run).__name__!r}."
        )
    rows = list(rows)
    sets = list(rows[0]["accuracy"]) if rows else []
    if target is not None and sets and target not in sets:
        raise UserError(f"{target!r} was not evaluated in this run; choose from {', '.join(sets)}.")
    if target is None:
        target = sets[1] if len(sets) > 1 else ""
    return RunHistory(name or "run", rows, target)


def _is_evaluation(row) -> bool:
    return isinstance(row, Mapping) and "step" in row and isinstance(row.get("accuracy"), Mapping)


def training_curves(
    runs: list[RunHistory], *, chance: float | None = None, loss: bool = True
) -> go.Figure:
    """One run with its names at the curves' ends, or several with a legend. A language has the
    colour of its role in the first run that names it; runs without an evaluation are left out.
    At least one run has one. `loss`: whether the training loss is drawn below.
    """
    runs = [run for run in runs if run.rows]
    steps = max(run.rows[-1].get("steps") or run.rows[-1]["step"] for run in runs)
    roles: dict[str, str] = {}
    for run in runs:
        roles = run.roles | roles
    if len(runs) == 1:
        rows = runs[0].rows
        fig = accuracy_curves(
            accuracy_rows(rows), roles, rows[0]["accuracy"], total_steps=steps, chance=chance
        )
        return with_loss(fig, runs, [("circle", "solid")]) if loss else fig
    fig = overlay_curves(
        {run.name: accuracy_rows(run.rows) for run in runs},
        roles,
        {},
        total_steps=steps,
        chance=chance,
    )
    # runs of one model share their levels
    levels = dict.fromkeys(level for run in runs for level in run.rows[0]["accuracy"].items())
    for name, level in levels:
        add_start_level(fig, name, level, steps, COLOURS[roles[name]])
    return with_loss(fig, runs, [run_look(i) for i in range(len(runs))]) if loss else fig


def losses(rows: list[Mapping]) -> tuple[list[int], list[float]]:
    """Steps, and the mean training loss since the evaluation before each."""
    points = {row["step"]: float(row["loss"]) for row in rows if row.get("loss") is not None}
    return list(points), list(points.values())


def with_loss(fig: go.Figure, runs: list[RunHistory], looks: list[tuple[str, str]]) -> go.Figure:
    """The same chart with the training loss of each run in a panel below."""
    changes = []
    several = len(runs) > 1
    for run, look in zip(runs, looks, strict=True):
        steps, values = losses(run.rows)
        fig.add_trace(_loss_line(run.name, steps, values, look, several))
        if values:
            change = f"{values[0]:.2f} to {values[-1]:.2f}"
            changes.append(f"{run.name} {change}" if several else change)
    text = alt(fig)
    if changes:
        text = f"{text[:-1]}; training loss {'; '.join(changes)}."
    return fig.update_layout(
        height=fig.layout.height + LOSS_HEIGHT,
        yaxis={"domain": [ACCURACY_FROM, 1]},
        xaxis={"anchor": "y2"},
        yaxis2={
            "domain": [0, LOSS_TO],
            "anchor": "x",
            "title": {"text": "training loss"},
            "rangemode": "tozero",
            "gridcolor": COLOURS["grid"],
            "zeroline": False,
            "showline": False,
            "nticks": 4,
        },
        meta={"alt": text},
    )


def _loss_line(
    name: str, steps: list[int], values: list[float], look: tuple[str, str], several: bool
) -> go.Scatter:
    symbol, dash = look
    return go.Scatter(
        x=steps,
        y=values,
        yaxis="y2",
        mode="lines+markers",
        name=f"training loss, {hover_text(name)}" if several else "training loss",
        legendgroup=hover_text(name),
        showlegend=False,
        line={"color": COLOURS["reference"], "width": 2, "dash": dash},
        marker={"symbol": symbol, "size": 7, "color": COLOURS["reference"]},
        cliponaxis=False,
        hovertemplate=(
            "step %{x}: loss %{y:.3f}, mean since the previous"
            " evaluation<extra>%{fullData.name}</extra>"
        ),
    )
