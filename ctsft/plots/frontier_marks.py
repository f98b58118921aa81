"""What the frontiers of experiments and of single runs share: axes, marks and the line of the best.

A point is a change of source accuracy (x) and of target accuracy (y) by tuning: up and right is
better.
"""

from collections.abc import Iterable, Mapping

import plotly.graph_objects as go

from ctsft.plots.style import COLOURS, method_colour
from ctsft.utils.format import hover_text
from ctsft.utils.statistics import Spread

METHOD_SYMBOLS = {
    "circuit": "circle",
    "full": "square",
    "norms": "triangle-up",
    "near_zero": "diamond",
    "random": "star",
    "least": "triangle-down",
    "advised": "hexagon",
    "edited": "octagon",
    "direct": "x",
    "ssu": "triangle-left",
    "fggm": "triangle-right",
    "lora": "cross",
    "lora_circuit": "pentagon",
    "full_held": "square-dot",
    "circuit_held": "circle-dot",
    "near_zero_held": "diamond-dot",
    "replay": "square-open",
}

AXES = {
    "x": ("source", "source accuracy, after − before"),
    "y": ("target", "target accuracy, after − before"),
}
CHANGES = ("source_change", "target_change")  # keys of a point, x and y


def axis_title(axis: str) -> str:
    side, text = AXES[axis]
    return f'<span style="color:{COLOURS[side]}">●</span> {text}'


def add_start_lines(fig: go.Figure, **panel) -> None:
    """Dashed lines at no change; `panel`: the row and column of a subplot."""
    source = {"color": COLOURS["source"], "width": 1.5, "dash": "dash"}
    target = {"color": COLOURS["target"], "width": 1.5, "dash": "dash"}
    fig.add_vline(0, line=source, layer="below", **panel)
    fig.add_hline(0, line=target, layer="below", **panel)


def undominated(points: list[tuple[float, float]]) -> list[int]:
    """The (source, target) changes that no other point beats at one without losing at the other,
    by rising source change; of equal ones all.
    """

    def is_beaten(one):
        return any(other[0] >= one[0] and other[1] >= one[1] and other != one for other in points)

    best = [i for i, one in enumerate(points) if not is_beaten(one)]
    return sorted(best, key=lambda i: (points[i], i))


def best_line(points: list[tuple[float, float]], show_legend: bool = True) -> go.Scatter:
    """The frontier as steps: what lies below and left of it is beaten at both."""
    best = [points[i] for i in undominated(points)]
    return go.Scatter(
        x=[source for source, _ in best],
        y=[target for _, target in best],
        mode="lines",
        line={"color": COLOURS["reference"], "width": 1.5, "shape": "vh"},
        hoverinfo="skip",
        name="frontier",
        legendgroup="frontier",
        showlegend=show_legend,
    )


def method_marker(method: str, size: float, **more) -> dict:
    """Plotly's marker of a method, `size` in pixels."""
    return {
        "symbol": METHOD_SYMBOLS.get(method, "cross"),
        "size": size,
        "color": method_colour(method),
        **more,
    }


def share_line(method: str, shares: list[Mapping], of: str) -> go.Scatter:
    """The way from the model before tuning to the tuned one, share by share. shares: [{"share",
    "source_change", "target_change"}] on validation rows; of: whose they are.
    """
    return go.Scatter(
        x=[one["source_change"] for one in shares],
        y=[one["target_change"] for one in shares],
        mode="lines+markers",
        line={"width": 1, "color": method_marker(method, 4)["color"]},
        marker=method_marker(method, 4),
        opacity=0.5,
        legendgroup=method,
        showlegend=False,
        text=[f"{one['share']:.1f} of the change" for one in shares],
        hovertemplate=(
            "%{text}, on validation rows: source %{x:+.3f}, target %{y:+.3f}"
            "<extra>%{fullData.name}</extra>"
        ),
        name=hover_text(f"shares of {of}"),
    )


def error_bars(spreads: Iterable[Spread], method: str) -> dict:
    """Plotly's error bars of several marks of a method: their 95 % intervals; none where there are
    fewer than three seeds.
    """
    spreads = list(spreads)
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if one.high is None else one.high - one.mean for one in spreads],
        "arrayminus": [0.0 if one.low is None else one.mean - one.low for one in spreads],
        "thickness": 1.5,
        "width": 4,
        "color": method_colour(method),
    }


def spread_text(spread: Spread) -> str:
    interval = "" if spread.low is None else f" [{spread.low:+.3f}, {spread.high:+.3f}]"
    return f"{spread.mean:+.3f}{interval}".replace("-", "−")
