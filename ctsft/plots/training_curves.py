"""Tuning runs, finished or not: accuracies above, the training loss below.

Of one run, colour shows whose accuracy it is. Several runs are drawn in panels, one for the source
and one for the target, and colour shows the method. A dashed line is the level before tuning.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import plotly.graph_objects as go

from ctsft.plots.accuracy_curves import (
    accuracy_curves,
    accuracy_rows,
)
from ctsft.plots.curve_panels import TuningLine, curve_panels
from ctsft.plots.style import COLOURS, LABEL_COLOURS, alt
from ctsft.runs.folder import Run
from ctsft.runs.results import evaluations, result
from ctsft.utils.errors import UserError

LOSS_HEIGHT = 150  # pixels of the loss panel

# where the upper panel begins and the lower one ends, in shares of the height
ACCURACY_FROM, LOSS_TO = 0.36, 0.26


@dataclass(frozen=True)
class RunHistory:
    """A run: its name in the chart; its evaluations, rows of {"step", "steps", "loss", "accuracy":
    {set: share}} with the source first in "accuracy"; its target language; what it trained, which
    decides its colour among others ("": unknown).
    """

    name: str
    rows: list[Mapping]
    target: str
    method: str = ""

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

    def panel_sets(self) -> dict[str, str]:
        """{panel: the set of this run that stands in it}: its source, its target, and each other
        set under its own name.
        """
        roles = self.roles
        return {
            role if role in ("source", "target") else name: name for name, role in roles.items()
        }

    def panels(self) -> dict[str, dict[int, float]]:
        """{panel: {step: accuracy}}."""
        return {
            panel: {
                int(row["step"]): float(row["accuracy"][name])
                for row in self.rows
                if row["accuracy"].get(name) is not None
            }
            for panel, name in self.panel_sets().items()
        }


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
    """One run in one chart, or several in panels. Runs without an evaluation are left out; at least
    one run has one. `loss`: whether the training loss is drawn below.
    """
    runs = [run for run in runs if run.rows]
    steps = max(run.rows[-1].get("steps") or run.rows[-1]["step"] for run in runs)
    if len(runs) == 1:
        rows = runs[0].rows
        fig = accuracy_curves(
            accuracy_rows(rows),
            runs[0].roles,
            rows[0]["accuracy"],
            total_steps=steps,
            chance=chance,
        )
        return with_loss(fig, runs[0]) if loss else fig
    lines = [
        TuningLine(
            run.method,
            run.name,
            {panel: [points] for panel, points in run.panels().items()},
            [dict(zip(*losses(run.rows), strict=True))],
            tint="" if run.method else LABEL_COLOURS[i % len(LABEL_COLOURS)],
        )
        for i, run in enumerate(runs)
    ]
    return curve_panels(
        lines, panel_titles(runs), total_steps=steps, chance=chance, loss=loss, narrow=True
    )


def panel_titles(runs: list[RunHistory]) -> dict[str, str]:
    """The panels of several runs, and their titles: the source, the targets, each related set."""
    names: dict[str, list[str]] = {"source": [], "target": []}
    for run in runs:
        for panel, name in run.panel_sets().items():
            names.setdefault(panel, []).append(name)
    return {panel: " / ".join(dict.fromkeys(some)) for panel, some in names.items() if some}


def losses(rows: list[Mapping]) -> tuple[list[int], list[float]]:
    """Steps, and the mean training loss since the evaluation before each."""
    points = {row["step"]: float(row["loss"]) for row in rows if row.get("loss") is not None}
    return list(points), list(points.values())


def with_loss(fig: go.Figure, run: RunHistory) -> go.Figure:
    """The same chart with the training loss of the run in a panel below."""
    steps, values = losses(run.rows)
    fig.add_trace(_loss_line(steps, values))
    text = alt(fig)
    if values:
        text = f"{text[:-1]}; training loss {values[0]:.2f} to {values[-1]:.2f}."
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


def _loss_line(steps: list[int], values: list[float]) -> go.Scatter:
    return go.Scatter(
        x=steps,
        y=values,
        yaxis="y2",
        mode="lines+markers",
        name="training loss",
        line={"color": COLOURS["reference"], "width": 2},
        marker={"size": 7, "color": COLOURS["reference"]},
        cliponaxis=False,
        hovertemplate=(
            "step %{x}: loss %{y:.3f}, mean since the previous"
            " evaluation<extra>%{fullData.name}</extra>"
        ),
    )
