"""Accuracy against optimiser steps in one tuning run.

Colour shows whose accuracy it is (source, target, related); a dashed line is always the level
before tuning. Labels stand at the curves' ends; `spread_labels` keeps them apart. Several runs are
drawn by `curve_panels`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import plotly.graph_objects as go

from ctsft.plots.style import COLOURS, figure
from ctsft.utils.format import hover_text

STYLES = ["solid", "dot", "dashdot", "longdashdot"]  # never "dash": that is "before tuning"
MARGIN = 0.3  # tenths between the points and the ends of the axis
ROLE_SYMBOLS = {"source": "circle", "target": "diamond", "related": "square"}

# one row per evaluation: {"step": 20, "indonesian": 0.81, ...}
History = list[Mapping[str, float]]


def accuracy_rows(evaluations: list[Mapping]) -> list[dict]:
    """Evaluations as the rows of a chart: {"step": 20, "indonesian": 0.81, ...}."""
    return [{"step": row["step"], **row["accuracy"]} for row in evaluations]


def accuracy_curves(
    history: History,
    roles: Mapping[str, str],  # set name -> "source" | "target" | "related"
    start: Mapping[str, float],  # set name -> accuracy before tuning
    *,
    total_steps: int,
    chance: float | None = None,
    title: str = "",
) -> go.Figure:
    """One run: accuracy (0 to 1) of every evaluation set against optimiser steps; the axes show the
    whole run from the start.
    """
    fig = figure(title, "", 380)
    changes, ends = [], {}
    for name, role in roles.items():
        steps, values = _series(history, name, start)
        if not steps:
            continue
        colour = COLOURS[role]
        if name in start:
            add_start_level(fig, name, start[name], total_steps, colour)
        look = ROLE_SYMBOLS[role], "solid"
        fig.add_trace(line(steps, values, hover_text(name), colour, look))
        mark = f'<span style="color:{colour}">●</span>'
        ends[f"{mark} {hover_text(name)} {values[-1]:.2f}"] = values[-1]
        changes.append(f"{name} ({role}) {values[0]:.2f} to {values[-1]:.2f}")
    _accuracy_axes(fig, total_steps, chance)
    low, high = fig.layout.yaxis.range
    shares = [(value - low) / (high - low) for value in ends.values()]
    for text, y in zip(ends, spread_labels(shares), strict=True):
        fig.add_annotation(
            x=1,
            xref="paper",
            y=low + y * (high - low),
            text=text,
            showarrow=False,
            xanchor="left",
            xshift=10,
            align="left",
        )
    return fig.update_layout(
        margin_r=30 + 7.5 * max([8, *(len(name) + 7 for name in roles)]),
        meta={"alt": _curves_alt(title, changes if history else [], total_steps)},
    )


def add_start_level(
    fig: go.Figure, name: str, level: float, steps: int, colour: str, axes: dict | None = None
) -> None:
    """A dashed line at an evaluation set's accuracy before tuning, 0 to `steps`. axes: the panel's,
    {"xref", "yref"}, in a figure with several.
    """
    fig.add_shape(
        type="line",
        x0=0,
        x1=steps,
        y0=level,
        y1=level,
        name=f"before {name}",
        line={"color": colour, "width": 1.5, "dash": "dash"},
        opacity=0.75,
        layer="below",
        **(axes or {}),
    )


def line(x: list, y: list, label: str, colour: str, look: tuple[str, str]) -> go.Scatter:
    """A curve with a marker at each point; `look`: marker symbol and line style."""
    symbol, dash = look
    return go.Scatter(
        x=x,
        y=y,
        name=label,
        mode="lines+markers",
        line={"color": colour, "width": 2.5, "dash": dash},
        cliponaxis=False,
        marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 0}},
        hovertemplate="step %{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
    )


def spread_labels(values: list[float], gap: float = 0.06) -> list[float]:
    """Heights for labels at `values` in 0..1, at least `gap` apart and in the same order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    heights = [0.0] * len(values)
    lowest = float("-inf")
    for i in order:
        heights[i] = max(values[i], lowest)
        lowest = heights[i] + gap
    if max(heights, default=0.0) > 1:
        ceiling = 1.0
        for i in reversed(order):  # too high at the top: push down from there
            heights[i] = min(heights[i], ceiling)
            ceiling = heights[i] - gap
    return heights


def _series(
    history: History, name: str, start: Mapping[str, float]
) -> tuple[list[int], list[float]]:
    """Steps and accuracies of one set; the level before tuning is step 0 where the run did not
    evaluate there itself.
    """
    points = {0: float(start[name])} if name in start else {}
    points |= {int(row["step"]): float(row[name]) for row in history if row.get(name) is not None}
    return sorted(points), [points[step] for step in sorted(points)]


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
            yanchor=free_side(chance, [shape.y0 for shape in level_lines(fig)]),
            opacity=0.7,
        )
    fig.update_xaxes(range=[0, total_steps], title_text="optimiser steps (dashed: before tuning)")
    fig.update_yaxes(range=fitted_range(fig), title_text="accuracy", tickformat=".1f")
    fig.update_layout(uirevision="accuracy")


def level_lines(fig: go.Figure) -> list:
    """The lines of `add_start_level`."""
    return [shape for shape in fig.layout.shapes if (shape.name or "").startswith("before ")]


def free_side(chance: float, levels: Sequence[float]) -> str:
    """The `yanchor` of the name of chance: it stands on the side where the next of the other lines
    is further away.
    """
    below = min((chance - level for level in levels if level < chance), default=1.0)
    above = min((level - chance for level in levels if level >= chance), default=1.0)
    return "top" if below >= above else "bottom"


def fitted_range(fig: go.Figure) -> list[float]:
    """The accuracies that are drawn and the levels before tuning, out to the next tenth, so that
    the axis seldom changes while points arrive.
    """
    values = [y for trace in fig.data for y in trace.y or () if y is not None]
    return tenths([*values, *(level.y0 for level in level_lines(fig))])


def tenths(values: list[float]) -> list[float]:
    """An axis of accuracy from below the lowest of these values to above the highest one."""
    if not values:
        return [0, 1]
    low, high = math.floor(min(values) * 10 - MARGIN), math.ceil(max(values) * 10 + MARGIN)
    return [max(low, 0) / 10, min(high, 10) / 10]


def _curves_alt(title: str, changes: Iterable[str], total_steps: int) -> str:
    text = "; ".join(changes) or "no evaluation yet"
    return f"{title or 'Accuracy during tuning'}, {total_steps} optimiser steps planned: {text}."
