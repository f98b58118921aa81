"""The lines of a panel: means and bands over seeds, levels before tuning, names at the ends."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import plotly.graph_objects as go

from ctsft.plots.accuracy_curves import STYLES, add_start_level, free_side, spread_labels
from ctsft.plots.panel_places import Place
from ctsft.plots.style import COLOURS, method_colour
from ctsft.utils.format import hover_text

NAME_WIDTH, NAME_LINES = 19, 2  # characters and lines of a name
NAME_GAP = 34  # pixels between the middles of two names
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


def with_dashes(lines: Sequence[TuningLine]) -> list[TuningLine]:
    """Lines of one colour get different styles."""
    times: Counter[str] = Counter()
    styled = []
    for line in lines:
        styled.append(replace(line, dash=STYLES[times[line.colour] % len(STYLES)]))
        times[line.colour] += 1
    return styled


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
    colour = COLOURS[panel if panel in ("source", "target") else "related"]
    axes = {"xref": place.axes["xaxis"], "yref": place.axes["yaxis"]}
    for level in start_levels(panel, lines):
        add_start_level(fig, panel, level, total_steps, colour, axes)


def start_levels(panel: str, lines: Sequence[TuningLine]) -> list[float]:
    """Accuracies before tuning, in order and each once."""
    starts = [mean_curve(line.curves[panel])[1][:1] for line in lines]
    return sorted({round(start[0], 4) for start in starts if start})


def add_chance(fig: go.Figure, place: Place, chance: float, levels: Sequence[float] = ()) -> None:
    """levels: of other lines, which its name avoids."""
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
        yanchor=free_side(chance, levels),
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
