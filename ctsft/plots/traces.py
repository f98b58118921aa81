"""Traces that several charts share: the band between two curves, the ring of the selected head."""

from collections.abc import Sequence

import plotly.graph_objects as go

from ctsft.plots.style import COLOURS


def filled_band(x: Sequence, low: Sequence, high: Sequence, name: str) -> go.Scatter:
    """The area between two curves over the same x."""
    return go.Scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=COLOURS["band"],
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        name=name,
    )


def selected_ring(x: float, y: float, size: float) -> go.Scatter:
    """A ring around the point of the selected head; size in pixels."""
    return go.Scatter(
        x=[x],
        y=[y],
        mode="markers",
        hoverinfo="skip",
        name="selected",
        marker={
            "symbol": "circle-open",
            "size": size,
            "color": COLOURS["target"],
            "line": {"width": 3},
        },
    )
