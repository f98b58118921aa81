"""Accuracy against optimiser steps by several methods: the mean over seeds as a line, and from the
lowest to the highest seed as a band. One colour a method.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

import plotly.graph_objects as go

from ctsft.plots.accuracy_curves import add_start_level, spread_labels
from ctsft.plots.style import COLOURS, METHOD_COLOURS, figure
from ctsft.utils.format import hover_text

HEIGHT = 300  # pixels
LABEL_GAP = 0.075  # of the axis, between the names at the curves' ends
ROOM = 130  # pixels for these names
ROOM_BEYOND = 0.03  # accuracy above the highest and below the lowest value

Curve = Mapping[int, float]  # {step: accuracy}


def seed_bands(
    curves: Mapping[str, Sequence[Curve]],
    names: Mapping[str, str],
    *,
    title: str,
    role: str,
    limits: tuple[float, float],
) -> go.Figure:
    """curves: {method: a curve for each seed}, all of them on the same steps; names: of the
    methods; role: "source" or "target"; limits: of the axis of accuracy, from `common_limits`.
    """
    fig = figure("", "", HEIGHT)
    mark = f'<span style="color:{COLOURS[role]}">●</span>'
    fig.update_layout(title_text=f"{mark} {hover_text(title)}")
    steps = sorted({step for one in curves.values() for curve in one for step in curve})
    means = {
        method: [fmean(curve[step] for curve in seeds) for step in steps]
        for method, seeds in curves.items()
    }
    for method, seeds in curves.items():
        fig.add_trace(band(steps, seeds, METHOD_COLOURS[method]))
    for method, values in means.items():
        fig.add_trace(mean_line(steps, values, names[method], METHOD_COLOURS[method]))
    before = next(iter(means.values()))[0]
    add_start_level(fig, title, before, steps[-1], COLOURS[role])
    add_names(fig, means, names, limits)
    fig.update_xaxes(range=[0, steps[-1]], title_text="optimiser steps")
    fig.update_yaxes(range=limits, tickformat=".1f", dtick=0.1)
    ends = "; ".join(
        f"{names[method]} {values[0]:.2f} to {values[-1]:.2f}, lowest {min(values):.2f}"
        for method, values in means.items()
    )
    return fig.update_layout(
        margin={"l": 40, "r": ROOM, "t": 36, "b": 44},
        meta={"alt": f"{title}, accuracy during tuning, means over seeds: {ends}."},
    )


def common_limits(panels: Sequence[Mapping[str, Sequence[Curve]]]) -> tuple[float, float]:
    """The ends of the axis of panels that are compared: everything that is drawn, and a little
    room.
    """
    values = [
        value
        for curves in panels
        for seeds in curves.values()
        for curve in seeds
        for value in curve.values()
    ]
    return max(0.0, min(values) - ROOM_BEYOND), min(1.0, max(values) + ROOM_BEYOND)


def band(steps: list[int], seeds: Sequence[Curve], colour: str) -> go.Scatter:
    """From the lowest to the highest seed at each step."""
    low = [min(curve[step] for curve in seeds) for step in steps]
    high = [max(curve[step] for curve in seeds) for step in steps]
    return go.Scatter(
        x=[*steps, *reversed(steps)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=colour,
        opacity=0.13,
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
    )


def mean_line(steps: list[int], values: list[float], name: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=steps,
        y=values,
        name=hover_text(name),
        mode="lines",
        line={"color": colour, "width": 2.5},
        hovertemplate="step %{x}: %{y:.2f}<extra>%{fullData.name}</extra>",
    )


def add_names(
    fig: go.Figure, means: Mapping, names: Mapping[str, str], limits: tuple[float, float]
) -> None:
    """The methods' names at the ends of their curves, moved apart within the axis."""
    low, high = limits
    ends = [(values[-1] - low) / (high - low) for values in means.values()]
    for method, y in zip(means, spread_labels(ends, LABEL_GAP), strict=True):
        fig.add_annotation(
            x=1,
            xref="paper",
            y=y,
            yref="paper",
            text=hover_text(names[method]),
            font={"color": METHOD_COLOURS[method]},
            showarrow=False,
            xanchor="left",
            yanchor="middle",
            xshift=8,
        )
