"""The curves of several ways of tuning in panels: one for the source, one for the target, and one
for each related set that was measured.

Colour shows the method, as on every chart; lines of one colour differ in their style. Several seeds
are a line (their mean) and a band (from the lowest to the highest seed). A dashed line is the level
before tuning. The names stand at the ends of the lines.
"""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import plotly.graph_objects as go

from ctsft.plots.accuracy_curves import STYLES, spread_labels, tenths
from ctsft.plots.style import COLOURS, figure, method_colour
from ctsft.utils.format import hover_text

COLUMNS = 2
ROW_HEIGHT, LOSS_HEIGHT = 360, 150  # pixels
NAME_ROOM = 0.34  # of a panel's width, for the names at the ends of its lines
NARROW_ROOM = 150  # pixels, where only the last panel has names
NAME_WIDTH, NAME_LINES = 19, 2  # characters and lines of a name
NAME_GAP = 34  # pixels between the middles of two names
GAP = 0.07  # of the width, between panels
ABOVE, BELOW = 36, 48  # pixels around a row of panels
FAINT, FAINT_NAME = 0.15, 0.5  # opacity of a line that is not selected, and of its name

Curve = Mapping[int, float]  # {step: accuracy or loss}


@dataclass(frozen=True)
class TuningLine:
    """A run, or the seeds of the same settings. curves: {panel: a curve for each seed}, without the
    panels that it did not measure; losses: a curve for each seed.
    """

    method: str
    name: str
    curves: Mapping[str, Sequence[Curve]]
    losses: Sequence[Curve] = ()
    faint: bool = False
    dash: str = "solid"
    tint: str = ""  # the colour of a line whose method is unknown

    @property
    def colour(self) -> str:
        return self.tint or method_colour(self.method)

    @property
    def opacity(self) -> float:
        return FAINT if self.faint else 1.0


@dataclass(frozen=True)
class Place:
    """Where a panel stands: the number of its axes, and its ends in shares of the figure."""

    number: int
    x: tuple[float, float]
    y: tuple[float, float]

    @property
    def suffix(self) -> str:
        return "" if self.number == 1 else str(self.number)

    @property
    def axes(self) -> dict[str, str]:
        return {"xaxis": f"x{self.suffix}", "yaxis": f"y{self.suffix}"}


def curve_panels(
    lines: Sequence[TuningLine],
    titles: Mapping[str, str],
    *,
    total_steps: int,
    chance: float | None = None,
    loss: bool = False,
    narrow: bool = False,
) -> go.Figure:
    """Accuracy (0 to 1) against optimiser steps. titles: {"source", "target" or the name of another
    set: the panel's title}; loss: whether the training loss is drawn below; narrow: names stand
    beside the last panel only.
    """
    lines = with_dashes(lines)
    rows = -(-len(titles) // COLUMNS)
    height = rows * ROW_HEIGHT + loss * LOSS_HEIGHT
    fig = figure("", description(lines, titles, total_steps), height)
    right = NARROW_ROOM if narrow else 8
    fig.update_layout(margin={"l": 40, "r": right, "t": 0, "b": 0}, uirevision="accuracy")
    values = [
        value
        for line in lines
        for panel in titles
        for seed in line.curves.get(panel, ())
        for value in seed.values()
    ]
    limits = tenths(values)
    for number, (panel, title) in enumerate(titles.items(), 1):
        place = place_of(number, height, narrow)
        drawn = [line for line in lines if mean_curve(line.curves.get(panel, ()))[0]]
        add_panel(fig, place, f"{mark(panel)} {hover_text(title)}", total_steps)
        # panels of a row have the same axis of accuracy: its figures stand at the left
        y = {"range": limits, "tickformat": ".1f", "showticklabels": number % COLUMNS == 1}
        fig.update_layout({f"yaxis{place.suffix}": y})
        for line in drawn:
            add_line(fig, line, line.curves[panel], place, hover_text(title))
        add_levels(fig, panel, drawn, place, total_steps)
        if chance is not None:
            add_chance(fig, place, chance)
        if not narrow or number in (len(titles), COLUMNS):
            add_names(fig, place, [(line, line.curves[panel]) for line in drawn], limits)
    if loss:
        add_losses(fig, lines, Place(len(titles) + 1, (0, 1), (BELOW / height, 0)), total_steps)
    return fig


def with_dashes(lines: Sequence[TuningLine]) -> list[TuningLine]:
    """Lines of one colour get different styles."""
    times: Counter[str] = Counter()
    styled = []
    for line in lines:
        styled.append(replace(line, dash=STYLES[times[line.colour] % len(STYLES)]))
        times[line.colour] += 1
    return styled


def place_of(number: int, height: float, narrow: bool) -> Place:
    row, column = divmod(number - 1, COLUMNS)
    width = (1 - GAP) / COLUMNS if narrow else 1 / COLUMNS
    left = column * (width + GAP) if narrow else column * width
    end = left + (width if narrow else width * (1 - NAME_ROOM))
    top = 1 - (row * ROW_HEIGHT + ABOVE) / height
    bottom = 1 - ((row + 1) * ROW_HEIGHT - BELOW) / height
    return Place(number, (left, end), (bottom, top))


def mark(panel: str) -> str:
    colour = COLOURS[panel if panel in ("source", "target") else "related"]
    return f'<span style="color:{colour}">●</span>'


def add_panel(fig: go.Figure, place: Place, title: str, total_steps: int) -> None:
    look = {"gridcolor": COLOURS["grid"], "zeroline": False, "showline": False}
    x = {"domain": place.x, "anchor": f"y{place.suffix}", "range": [0, total_steps], **look}
    y = {"domain": place.y, "anchor": f"x{place.suffix}", **look}
    x["title"] = {"text": "optimiser steps"}
    fig.update_layout({f"xaxis{place.suffix}": x, f"yaxis{place.suffix}": y})
    fig.add_annotation(
        x=place.x[0],
        y=place.y[1],
        xref="paper",
        yref="paper",
        text=title,
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        yshift=8,
    )


def mean_curve(seeds: Sequence[Curve]) -> tuple[list[int], list[float]]:
    """Steps that every seed measured, and the means over the seeds."""
    if not seeds:
        return [], []
    steps = sorted(set.intersection(*(set(seed) for seed in seeds)))
    return steps, [fmean(seed[step] for seed in seeds) for step in steps]


def add_line(
    fig: go.Figure, line: TuningLine, seeds: Sequence[Curve], place: Place, title: str
) -> None:
    steps, means = mean_curve(seeds)
    if len(seeds) > 1:
        low = [min(seed[step] for seed in seeds) for step in steps]
        high = [max(seed[step] for seed in seeds) for step in steps]
        fig.add_trace(
            go.Scatter(
                x=[*steps, *reversed(steps)],
                y=[*high, *reversed(low)],
                fill="toself",
                fillcolor=line.colour,
                opacity=0.13 * line.opacity,
                mode="lines",
                line={"width": 0},
                hoverinfo="skip",
                name=f"{title}, {hover_text(line.name)}, seeds",
                **place.axes,
            )
        )
    of = f", mean of {len(seeds)} seeds" if len(seeds) > 1 else ""
    fig.add_trace(
        go.Scatter(
            x=steps,
            y=means,
            name=f"{title}, {hover_text(line.name)}",
            mode="lines" if len(seeds) > 1 else "lines+markers",
            line={"color": line.colour, "width": 2.5, "dash": line.dash},
            marker={"size": 6, "color": line.colour},
            opacity=line.opacity,
            cliponaxis=False,
            hovertemplate=f"step %{{x}}: %{{y:.3f}}{of}<extra>%{{fullData.name}}</extra>",
            **place.axes,
        )
    )


def add_levels(
    fig: go.Figure, panel: str, lines: Sequence[TuningLine], place: Place, total_steps: int
) -> None:
    """The levels before tuning; runs of one model share theirs."""
    starts = [mean_curve(line.curves[panel])[1][:1] for line in lines]
    for level in sorted({round(start[0], 4) for start in starts if start}):
        fig.add_shape(
            type="line",
            x0=0,
            x1=total_steps,
            y0=level,
            y1=level,
            xref=place.axes["xaxis"],
            yref=place.axes["yaxis"],
            name=f"before {panel}",
            line={
                "color": COLOURS[panel if panel in ("source", "target") else "related"],
                "width": 1.5,
                "dash": "dash",
            },
            opacity=0.75,
            layer="below",
        )


def add_chance(fig: go.Figure, place: Place, chance: float) -> None:
    x, y = place.axes["xaxis"], place.axes["yaxis"]
    fig.add_shape(
        type="line",
        x0=0,
        x1=1,
        xref=f"{x} domain",
        y0=chance,
        y1=chance,
        yref=y,
        name="chance",
        line={"color": COLOURS["reference"], "width": 1, "dash": "dot"},
        layer="below",
    )
    fig.add_annotation(
        x=1,
        xref=f"{x} domain",
        y=chance,
        yref=y,
        text=f"chance {chance:.2f}",
        showarrow=False,
        xanchor="right",
        yanchor="top",
        opacity=0.7,
    )


def add_names(
    fig: go.Figure,
    place: Place,
    lines: Sequence[tuple[TuningLine, Sequence[Curve]]],
    limits: tuple[float, float],
) -> None:
    """Names at the ends of the lines, moved apart where they would cover each other."""
    low, high = limits
    ends = [mean_curve(seeds)[1][-1] for _, seeds in lines]
    gap = NAME_GAP / ((place.y[1] - place.y[0]) * fig.layout.height)
    heights = spread_labels([(end - low) / (high - low) for end in ends], gap)
    for (line, _), end, y in zip(lines, ends, heights, strict=True):
        fig.add_annotation(
            x=place.x[1],
            xref="paper",
            y=y,
            yref=f"{place.axes['yaxis']} domain",
            text=name_and_value(line.name, f"{end:.2f}"),
            font={"color": line.colour},
            align="left",
            opacity=max(line.opacity, FAINT_NAME),
            showarrow=False,
            xanchor="left",
            yanchor="middle",
            xshift=10,
        )


def name_and_value(name: str, value: str) -> str:
    """A name in a few short lines, and the value behind it."""
    wrapped = textwrap.wrap(name, NAME_WIDTH, max_lines=NAME_LINES, placeholder=" …") or [""]
    fits = len(wrapped[-1]) + 1 + len(value) <= NAME_WIDTH
    lines = "<br>".join(hover_text(part) for part in wrapped)
    return f"{lines}{' ' if fits else '<br>'}{value}"


def add_losses(fig: go.Figure, lines: Sequence[TuningLine], place: Place, total_steps: int) -> None:
    """The training loss of each line, means over the seeds, below the panels."""
    top = (LOSS_HEIGHT - ABOVE) / fig.layout.height
    place = replace(place, y=(place.y[0], top))
    add_panel(fig, place, "Training loss", total_steps)
    fig.update_layout({f"yaxis{place.suffix}": {"rangemode": "tozero", "nticks": 4}})
    for line in lines:
        steps, means = mean_curve(line.losses)
        fig.add_trace(
            go.Scatter(
                x=steps,
                y=means,
                mode="lines",
                name=f"training loss, {hover_text(line.name)}",
                line={"color": line.colour, "width": 2, "dash": line.dash},
                opacity=line.opacity,
                hovertemplate=(
                    "step %{x}: loss %{y:.3f}, mean since the previous"
                    " evaluation<extra>%{fullData.name}</extra>"
                ),
                **place.axes,
            )
        )


def description(lines: Sequence[TuningLine], titles: Mapping[str, str], total_steps: int) -> str:
    """For screen readers: from where to where each line goes in each panel."""
    changes = []
    for line in lines:
        for panel, title in titles.items():
            _, means = mean_curve(line.curves.get(panel, ()))
            if means:
                seeds = len(line.curves[panel])
                mean = f" (mean of {seeds} seeds)" if seeds > 1 else ""
                changes.append(f"{line.name} on {title} {means[0]:.2f} to {means[-1]:.2f}{mean}")
        losses = mean_curve(line.losses)[1]
        if losses:
            changes.append(f"its training loss {losses[0]:.2f} to {losses[-1]:.2f}")
    text = "; ".join(changes) or "no evaluation yet"
    return f"Accuracy during tuning, {total_steps} optimiser steps planned: {text}."
