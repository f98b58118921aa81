"""Tuning runs while they go on: accuracies above, the training loss below, one step axis. Same
contract as `plots.py`; no streamlit.

Colour says whose accuracy it is, marker and line style which run; each marker is an evaluation, and
a dashed line the level before tuning.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from ctsft.plots.accuracy_curves import STYLES, SYMBOLS, accuracy_curves, flat, overlay_curves
from ctsft.plots.style import COLOURS, alt
from ctsft.utils.format import hover_text

LOSS = 150  # pixels of the loss panel

# where the upper panel begins and the lower one ends, in shares of the height
ACCURACY, GAP = 0.36, 0.26


@dataclass(frozen=True)
class Shown:
    """A run: its name in the chart, its evaluations (`results.evaluations`, the source stands first
    in "accuracy"), its target language.
    """

    name: str
    rows: list[Mapping]
    target: str

    @property
    def roles(self) -> dict[str, str]:
        names = list(self.rows[0]["accuracy"]) if self.rows else []
        return {
            name: "target" if name == self.target else "source" if name == names[0] else "related"
            for name in names
        }


def steps_of(row: Mapping) -> int:
    return row.get("steps") or row["step"]


def live(runs: list[Shown], *, chance: float | None = None) -> go.Figure:
    """One run with its names at the curves' ends, or several with a legend. A language has the
    colour of its role in the first run that names it; runs without an evaluation are left out.
    At least one run has one.
    """
    begun = [run for run in runs if run.rows]
    steps = max(steps_of(run.rows[-1]) for run in begun)
    roles: dict[str, str] = {}
    for run in begun:
        roles = run.roles | roles
    if len(begun) == 1:
        fig = accuracy_curves(
            flat(begun[0].rows),
            roles,
            begun[0].rows[0]["accuracy"],
            total_steps=steps,
            chance=chance,
        )
        return with_loss(fig, begun, [("circle", "solid")])
    fig = overlay_curves(
        {run.name: flat(run.rows) for run in begun}, roles, {}, total_steps=steps, chance=chance
    )
    for name, level in dict.fromkeys(
        pair for run in begun for pair in run.rows[0]["accuracy"].items()
    ):
        # runs of one model share them
        fig.add_shape(
            type="line",
            x0=0,
            x1=steps,
            y0=level,
            y1=level,
            name=f"before {name}",
            opacity=0.75,
            layer="below",
            line={"color": COLOURS[roles[name]], "width": 1.5, "dash": "dash"},
        )
    return with_loss(
        fig,
        begun,
        [(SYMBOLS[i % len(SYMBOLS)], STYLES[i % len(STYLES)]) for i in range(len(begun))],
    )


def losses(rows: list[Mapping]) -> tuple[list[int], list[float]]:
    """Steps, and the mean training loss since the evaluation before each."""
    found = [(row["step"], float(row["loss"])) for row in rows if row.get("loss") is not None]
    return [step for step, _ in found], [loss for _, loss in found]


def with_loss(fig: go.Figure, runs: list[Shown], looks: list[tuple[str, str]]) -> go.Figure:
    """The same chart with the training loss of each run in a panel below."""
    spoken = []
    for run, (symbol, dash) in zip(runs, looks, strict=True):
        steps, values = losses(run.rows)
        fig.add_trace(
            go.Scatter(
                x=steps,
                y=values,
                yaxis="y2",
                mode="lines+markers",
                name="training loss"
                if len(runs) == 1
                else f"training loss, {hover_text(run.name)}",
                legendgroup=hover_text(run.name),
                showlegend=False,
                line={"color": COLOURS["reference"], "width": 2, "dash": dash},
                marker={"symbol": symbol, "size": 7, "color": COLOURS["reference"]},
                cliponaxis=False,
                hovertemplate=(
                    "step %{x}: loss %{y:.3f}, mean since the point"
                    " before<extra>%{fullData.name}</extra>"
                ),
            )
        )
        if values:
            spoken.append(
                f"{run.name} {values[0]:.2f} to {values[-1]:.2f}"
                if len(runs) > 1
                else f"{values[0]:.2f} to {values[-1]:.2f}"
            )
    fig.update_layout(
        height=fig.layout.height + LOSS,
        yaxis={"domain": [ACCURACY, 1]},
        xaxis={"anchor": "y2"},
        yaxis2={
            "domain": [0, GAP],
            "anchor": "x",
            "title": {"text": "training loss"},
            "rangemode": "tozero",
            "gridcolor": COLOURS["grid"],
            "zeroline": False,
            "showline": False,
            "nticks": 4,
        },
        meta={
            "alt": f"{alt(fig)[:-1]}; training loss {'; '.join(spoken)}." if spoken else alt(fig)
        },
    )
    return fig
