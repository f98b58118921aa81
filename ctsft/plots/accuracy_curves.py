"""Charts of runs: accuracy while tuning, several runs compared, faithfulness.

Same contract as `plots.py`: plain values in, one figure out, described by `alt(fig)`. Colour says
whose accuracy it is (source, target, related), symbol and line style say which run; a dashed line
is always the level before tuning. Direct labels at a curve's end replace a legend where they fit;
`_spread` keeps them apart.
"""

from collections.abc import Mapping

import plotly.graph_objects as go

from ctsft.plots.style import COLOURS, figure
from ctsft.utils.format import hover_text

SYMBOLS = [
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "star",
    "hexagon",
    "triangle-down",
]

STYLES = ["solid", "dot", "dashdot", "longdashdot"]  # never "dash": that is "before tuning"
ROLE_SYMBOLS = {"source": "circle", "target": "diamond", "related": "square"}

# one row per evaluation: {"step": 20, "indonesian": 0.81, ...}
History = list[Mapping[str, float]]


def flat(rows: list[Mapping]) -> list[dict]:
    """Evaluations as the rows of a chart: {"step": 20, "indonesian": 0.81, ...}."""
    return [{"step": row["step"], **row["accuracy"]} for row in rows]


def accuracy_curves(
    history: History,
    roles: Mapping[str, str],  # set name -> "source" | "target" | "related"
    start: Mapping[str, float],  # set name -> accuracy before tuning
    *,
    total_steps: int,
    chance: float | None = None,
    title: str = "",
) -> go.Figure:
    """One run, live: accuracy 0..1 of every evaluation set against optimiser steps; axes fixed to
    the whole run from the start.
    """
    spoken, ends = [], []
    fig = figure(title, "", 380)
    for set_name, role in roles.items():
        steps, values = _series(history, set_name, start)
        if not steps:
            continue
        colour = COLOURS[role]
        if set_name in start:
            fig.add_shape(
                type="line",
                x0=0,
                x1=total_steps,
                y0=start[set_name],
                y1=start[set_name],
                name=f"before {set_name}",
                line={"color": colour, "width": 1.5, "dash": "dash"},
                opacity=0.75,
                layer="below",
            )
        fig.add_trace(
            _curve(steps, values, hover_text(set_name), colour, (ROLE_SYMBOLS[role], "solid"))
        )
        ends.append(
            (
                values[-1],
                f'<span style="color:{colour}">●</span> {hover_text(set_name)} {values[-1]:.2f}',
            )
        )
        spoken.append(f"{set_name} ({role}) {values[0]:.2f} to {values[-1]:.2f}")
    for (_, text), y in zip(ends, _spread([value for value, _ in ends]), strict=True):
        fig.add_annotation(
            x=1,
            xref="paper",
            y=y,
            text=text,
            showarrow=False,
            xanchor="left",
            xshift=10,
            align="left",
        )
    _accuracy_axes(fig, total_steps, chance)
    fig.update_layout(
        margin_r=30 + 7.5 * max([8, *(len(n) + 7 for n in roles)]),
        meta={"alt": _curves_alt(title, history, spoken, total_steps)},
    )
    return fig


def overlay_curves(
    runs: Mapping[str, History],  # run name -> its rows
    roles: Mapping[str, str],
    start: Mapping[str, float],  # shared: the same checkpoint before tuning
    *,
    total_steps: int,
    chance: float | None = None,
    title: str = "",
) -> go.Figure:
    """Several runs in one chart: colour = whose accuracy, symbol and line style = which run (click
    its name to hide it).
    """
    spoken = []
    fig = figure(title, "", 420 + 10 * len(runs))
    for set_name, role in roles.items():
        if set_name in start:
            fig.add_shape(
                type="line",
                x0=0,
                x1=total_steps,
                y0=start[set_name],
                y1=start[set_name],
                name=f"before {set_name}",
                line={"color": COLOURS[role], "width": 1.5, "dash": "dash"},
                opacity=0.75,
                layer="below",
            )
        fig.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="lines",
                line={"color": COLOURS[role], "width": 5},
                name=hover_text(set_name),
            )
        )
    for i, (run, history) in enumerate(runs.items()):
        look = SYMBOLS[i % len(SYMBOLS)], STYLES[i % len(STYLES)]
        key = _curve([None], [None], hover_text(run), COLOURS["control"], look)
        fig.add_trace(key.update(legendgroup=hover_text(run), showlegend=True))
        for set_name, role in roles.items():
            steps, values = _series(history, set_name, start)
            if steps:
                label = f"{hover_text(set_name)}, {hover_text(run)}"
                fig.add_trace(
                    _curve(steps, values, label, COLOURS[role], look).update(
                        legendgroup=hover_text(run), showlegend=False
                    )
                )
                spoken.append(f"{run} on {set_name} {values[0]:.2f} to {values[-1]:.2f}")
    _accuracy_axes(fig, total_steps, chance)
    beside = {
        "orientation": "v",
        "x": 1.02,
        "xanchor": "left",
        "y": 1,
        "yanchor": "top",
        "bgcolor": "rgba(0,0,0,0)",
        "itemwidth": 45,
    }
    fig.update_layout(
        showlegend=True, legend=beside, meta={"alt": _curves_alt(title, runs, spoken, total_steps)}
    )
    return fig


def _series(
    history: History, set_name: str, start: Mapping[str, float]
) -> tuple[list[int], list[float]]:
    """Steps and accuracies of one set; the level before tuning is step 0 where the run did not
    evaluate there itself.
    """
    points = {0: float(start[set_name])} if set_name in start else {}
    points |= {
        int(row["step"]): float(row[set_name]) for row in history if row.get(set_name) is not None
    }
    return sorted(points), [points[step] for step in sorted(points)]


def _curve(x: list, y: list, label: str, colour: str, look: tuple[str, str]) -> go.Scatter:
    symbol, dash = look
    tip = "step %{x}: %{y:.3f}<extra>%{fullData.name}</extra>"
    return go.Scatter(
        x=x,
        y=y,
        name=label,
        mode="lines+markers",
        line={"color": colour, "width": 2.5, "dash": dash},
        cliponaxis=False,
        marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 0}},
        hovertemplate=tip,
    )


def _spread(values: list[float], gap: float = 0.06) -> list[float]:
    """Heights for labels at `values` in 0..1, at least `gap` apart and in the same order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    heights = [0.0] * len(values)
    for place, i in enumerate(order):
        heights[i] = max(values[i], heights[order[place - 1]] + gap) if place else values[i]
    over = max([0.0, *(h - 1 for h in heights)])
    if over:
        ceiling = 1.0
        for i in reversed(order):  # too high at the top: push down from there
            heights[i] = min(heights[i], ceiling)
            ceiling = heights[i] - gap
    return heights


def _accuracy_axes(fig: go.Figure, total_steps: int, chance: float | None) -> None:
    if chance is not None:
        fig.add_hline(
            chance, line={"color": COLOURS["reference"], "width": 1, "dash": "dot"}, layer="below"
        )
        fig.add_annotation(
            x=0,
            xref="paper",
            y=chance,
            text=f"chance {chance:.2f}",
            showarrow=False,
            xanchor="left",
            yanchor="top",
            opacity=0.7,
        )
    fig.update_xaxes(range=[0, total_steps], title_text="optimiser steps (dashed: before tuning)")
    fig.update_yaxes(range=[0, 1], title_text="accuracy", tickformat=".1f")
    fig.update_layout(uirevision="accuracy")


def _curves_alt(title: str, evaluated: object, spoken: list[str], total_steps: int) -> str:
    text = f"{title or 'Accuracy during tuning'}, {total_steps} optimiser steps planned: "
    return text + ("; ".join(spoken) if evaluated and spoken else "no evaluation yet") + "."
