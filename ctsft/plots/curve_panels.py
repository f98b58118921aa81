"""The curves of several ways of tuning in panels: one for the source, one for the target, and one
for each related set that was measured.

Colour shows the method, as on every chart; lines of one colour differ in their style. Several seeds
are a line (their mean) and a band (from the lowest to the highest seed). A dashed line is the level
before tuning. The names stand at the ends of the lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import plotly.graph_objects as go

from ctsft.plots.accuracy_curves import tenths
from ctsft.plots.panel_lines import (
    TuningLine,
    add_chance,
    add_levels,
    add_line,
    add_names,
    mean_curve,
    start_levels,
    with_dashes,
)
from ctsft.plots.panel_places import (
    ABOVE,
    BELOW,
    COLUMNS,
    LOSS_HEIGHT,
    NARROW_ROOM,
    ROW_HEIGHT,
    Place,
    add_panel,
    mark,
    place_of,
)
from ctsft.plots.style import figure
from ctsft.utils.format import hover_text


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
            add_chance(fig, place, chance, start_levels(panel, drawn))
        if not narrow or number in (len(titles), COLUMNS):
            add_names(fig, place, [(line, line.curves[panel]) for line in drawn], limits)
    if loss:
        add_losses(fig, lines, Place(len(titles) + 1, (0, 1), (BELOW / height, 0)), total_steps)
    return fig


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
