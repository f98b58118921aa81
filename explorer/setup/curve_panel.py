"""A panel of the first screen: accuracy against optimiser steps by several methods, the mean over
seeds as a line, and from the lowest to the highest seed as a band. One colour a method.

HTML and SVG instead of a Plotly figure: the browser shows them with the page, while loading Plotly
takes it longer than the rest of the first screen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from statistics import fmean

import streamlit as st

from ctsft.plots.accuracy_curves import spread_labels
from ctsft.plots.style import COLOURS, METHOD_COLOURS

STYLE = Path(__file__).parents[1] / "static" / "curve_panel.css"
LABEL_GAP = 0.075  # of the axis, between the names at the curves' ends
ROOM_BEYOND = 0.03  # accuracy above the highest and below the lowest value
STEP_LABELS = 6  # at most, below the axis

Curve = Mapping[int, float]  # {step: accuracy}


@dataclass(frozen=True)
class Panel:
    """curves: {method: a curve for each seed}, with a common step at least; names: of the
    methods; role: "source" or "target"; limits: of the axis of accuracy, from `common_limits`.
    """

    title: str
    role: str
    curves: Mapping[str, Sequence[Curve]]
    names: Mapping[str, str]
    limits: tuple[float, float]

    @cached_property
    def steps(self) -> list[int]:
        """Those that every curve has."""
        curves = [set(curve) for seeds in self.curves.values() for curve in seeds]
        return sorted(set.intersection(*curves))

    @cached_property
    def means(self) -> dict[str, list[float]]:
        """Over the seeds, at each step."""
        return {
            method: [fmean(curve[step] for curve in seeds) for step in self.steps]
            for method, seeds in self.curves.items()
        }

    def x(self, step: float) -> float:
        """Percent of the width, from the left."""
        return round(100 * step / max(1, self.steps[-1]), 2)

    def y(self, accuracy: float) -> float:
        """Percent of the height, from the top."""
        low, high = self.limits
        return round(100 * (high - accuracy) / (high - low), 2)

    def points(self, steps: Sequence[int], accuracies: Sequence[float]) -> str:
        pairs = zip(steps, accuracies, strict=True)
        return " ".join(f"{self.x(step)},{self.y(accuracy)}" for step, accuracy in pairs)


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


def draw(panels: Sequence[Panel]):
    """Beside each other."""
    st.html(STYLE)
    for place, panel in zip(st.columns(len(panels), gap="medium"), panels, strict=True):
        place.markdown(panel_html(panel), unsafe_allow_html=True)


def panel_html(panel: Panel) -> str:
    """One line of HTML: Markdown would take an empty line for the end of it."""
    drawn = "".join([*grid(panel), *bands(panel), level_before(panel), *lines(panel)])
    beside = "".join([*axis_labels(panel), *names(panel), *hover_steps(panel)])
    mark = f'<i style="background:{COLOURS[panel.role]}"></i>'
    return (
        f'<div class="curve-panel" role="img" aria-label="{escape(description(panel))}">'
        f'<div class="title">{mark}{escape(panel.title)}</div>'
        f'<div class="plot"><svg viewBox="0 0 100 100" preserveAspectRatio="none">{drawn}</svg>'
        f'{beside}</div><div class="axis">optimiser steps</div></div>'
    )


def description(panel: Panel) -> str:
    """For screen readers."""
    ends = "; ".join(
        f"{panel.names[method]} {values[0]:.2f} to {values[-1]:.2f}, lowest {min(values):.2f}"
        for method, values in panel.means.items()
    )
    return f"{panel.title}, accuracy during tuning, means over seeds: {ends}."


def tenths(panel: Panel) -> list[float]:
    low, high = panel.limits
    return [tenth / 10 for tenth in range(11) if low <= tenth / 10 <= high]


def round_steps(panel: Panel) -> list[int]:
    """Steps for the axis: a few round numbers from 0."""
    last = panel.steps[-1]
    widths = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    width = next(width for width in widths if last / width < STEP_LABELS)
    return list(range(0, last + 1, width))


def grid(panel: Panel) -> Iterator[str]:
    for tenth in tenths(panel):
        yield f'<path class="grid" d="M0 {panel.y(tenth)}H100"/>'
    for step in round_steps(panel):
        yield f'<path class="grid" d="M{panel.x(step)} 0V100"/>'


def bands(panel: Panel) -> Iterator[str]:
    there_and_back = [*panel.steps, *reversed(panel.steps)]
    for method, seeds in panel.curves.items():
        low = [min(curve[step] for curve in seeds) for step in panel.steps]
        high = [max(curve[step] for curve in seeds) for step in panel.steps]
        points = panel.points(there_and_back, [*high, *reversed(low)])
        yield f'<polygon fill="{METHOD_COLOURS[method]}" points="{points}"/>'


def level_before(panel: Panel) -> str:
    """A dashed line at the accuracy before tuning."""
    before = panel.y(next(iter(panel.means.values()))[0])
    return f'<path class="before" stroke="{COLOURS[panel.role]}" d="M0 {before}H100"/>'


def lines(panel: Panel) -> Iterator[str]:
    for method, values in panel.means.items():
        points = panel.points(panel.steps, values)
        yield f'<polyline stroke="{METHOD_COLOURS[method]}" points="{points}"/>'


def axis_labels(panel: Panel) -> Iterator[str]:
    for tenth in tenths(panel):
        yield f'<span class="y" style="top:{panel.y(tenth)}%">{tenth:.1f}</span>'
    for step in round_steps(panel):
        yield f'<span class="x" style="left:{panel.x(step)}%">{step}</span>'


def names(panel: Panel) -> Iterator[str]:
    """The methods' names at the ends of their lines, moved apart within the axis."""
    low, high = panel.limits
    ends = [(values[-1] - low) / (high - low) for values in panel.means.values()]
    for method, height in zip(panel.means, spread_labels(ends, LABEL_GAP), strict=True):
        style = f"top:{100 - 100 * height:.2f}%;--line:{METHOD_COLOURS[method]}"
        yield f'<span class="name" style="{style}">{escape(panel.names[method])}</span>'


def hover_steps(panel: Panel) -> Iterator[str]:
    """Strips over the panel, one a step: under the pointer a line, and the methods' values, the
    highest first.
    """
    width = 100 / len(panel.steps)
    for i, step in enumerate(panel.steps):
        values = "".join(
            f'<div style="--line:{METHOD_COLOURS[method]}">{value_said(panel, method, i)}</div>'
            for method in sorted(panel.means, key=lambda name: -panel.means[name][i])
        )
        x = panel.x(step)
        side = "before" if x > 50 else "after"
        yield (
            f'<div class="step" style="left:{x - width / 2:.2f}%;width:{width:.2f}%">'
            f'<div class="values {side}">step {step}{values}</div></div>'
        )


def value_said(panel: Panel, method: str, i: int) -> str:
    seeds = [curve[panel.steps[i]] for curve in panel.curves[method]]
    return (
        f"{escape(panel.names[method])} {panel.means[method][i]:.2f}"
        f" ({min(seeds):.2f} to {max(seeds):.2f})"
    )
