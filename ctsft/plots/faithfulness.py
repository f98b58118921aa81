"""Faithfulness against circuit size: a ranking beside random circuits of the same size."""

import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import plotly.graph_objects as go

from ctsft.plots.accuracy_curves import line
from ctsft.plots.inputs import require
from ctsft.plots.style import COLOURS, LEGEND, figure
from ctsft.plots.traces import filled_band
from ctsft.utils.errors import UserError
from ctsft.utils.format import hover_text, number

MEASURES = {"accuracy": "accuracy", "margin": "logit margin"}

UNDEFINED = (
    "Faithfulness is not defined by this measure: on these rows the full model does exactly as well"
    " as the model with every head replaced by its mean, so there is no difference to explain. Look"
    " at the other measure, or choose a model that can do the task."
)


class Series(NamedTuple):
    """`sizes` in heads, and at each size the faithfulness of the ranking's heads and the lowest,
    median and highest of the random circuits.
    """

    sizes: list[int]
    ranked: list[float]
    band: tuple[list[float], list[float], list[float]]  # low, median, high


def faithfulness_curve(
    points: Iterable[Mapping] | Mapping, measure: str = "accuracy", *, title: str = ""
) -> go.Figure:
    """Faithfulness against circuit size, beside a band of random circuits: 0 = every head replaced
    by its mean, 1 = the full model.

    `points`: the rows that `ctsft.faithfulness_curve` yields, or the result of such a run (a
    mapping with "points"). `measure`: "accuracy" or "margin". UserError for another input or
    measure, or where faithfulness is not defined.
    """
    if isinstance(points, Mapping):
        points = points.get("points", ())
    require("faithfulness_curve", points, Iterable, "the rows of ctsft.faithfulness_curve")
    if measure not in MEASURES:
        raise UserError(
            f"{measure!r} is not a measure of faithfulness; choose from {', '.join(MEASURES)}."
        )
    points = list(points)
    rows = curve_rows([row for row in points if isinstance(row, Mapping)])
    if not rows:
        raise UserError(
            f"faithfulness_curve draws the rows of ctsft.faithfulness_curve, and none of these"
            f" {len(points)} is one."
        )
    if not is_defined(rows, measure):
        raise UserError(UNDEFINED)
    series = curve_series(rows, measure, max(row["size"] for row in rows))
    return draw_series(series, metric=MEASURES[measure], title=title)


def curve_rows(events: Iterable[Mapping]) -> list[Mapping]:
    """The measured circuits among a faithfulness run's events, as far as there are any."""
    return [row for row in events if row.get("kind") in ("ranked", "random") and "size" in row]


def curve_series(rows: list[Mapping], measure: str, n_heads: int) -> Series:
    """The rows by size. A size appears with its first random circuit; the sizes 0 and `n_heads`
    have none and need none.
    """
    ranked = {row["size"]: row[measure] for row in rows if row["kind"] == "ranked"}
    by_chance = {
        size: [row[measure] for row in rows if row["kind"] == "random" and row["size"] == size]
        for size in ranked
    }
    sizes = sorted(size for size in ranked if by_chance[size] or size in (0, n_heads))
    values = [by_chance[size] or [ranked[size]] for size in sizes]
    band = tuple([pick(some) for some in values] for pick in (min, statistics.median, max))
    return Series(sizes, [ranked[size] for size in sizes], band)


def is_defined(rows: list[Mapping], measure: str) -> bool:
    """False where the full model does exactly as well as the one without heads: faithfulness is a
    share of that difference.
    """
    return all(row[measure] == row[measure] for row in rows)


def size_curve(rows: list[Mapping], measure: str, size: int, n_heads: int) -> go.Figure:
    """Faithfulness against size, the current circuit marked at its `size`; the x axis stays as it
    is while sizes arrive.
    """
    fig = draw_series(curve_series(rows, measure, n_heads), metric=MEASURES[measure])
    fig.add_vline(
        size, line={"color": COLOURS["circuit"], "width": 1.5, "dash": "dot"}, layer="below"
    )
    fig.add_annotation(
        x=size,
        y=1,
        yref="paper",
        text=f"now: {size}",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        xshift=4,
        opacity=0.8,
    )
    return fig.update_xaxes(range=[-0.02 * n_heads, 1.02 * n_heads])


def curve_sentence(rows: list[Mapping], measure: str, size: int, n_heads: int) -> str:
    """The curve at the measured size nearest to the circuit's, in a sentence; "" for fewer than two
    sizes.
    """
    sizes, ranked, band = curve_series(rows, measure, n_heads)
    if len(sizes) < 2:
        return ""
    i = min(range(len(sizes)), key=lambda i: abs(sizes[i] - size))
    low, median, high = (share_text(values[i]) for values in band)
    nearest = "" if sizes[i] == size else f" (the measured size nearest to {size})"
    return (
        f"By {MEASURES[measure]}, the faithfulness of the {sizes[i]} highest-scoring heads{nearest}"
        f" is {share_text(ranked[i])}; that of random circuits of this size is {median} (median;"
        f" lowest {low}, highest {high})."
    )


def share_text(value: float) -> str:
    return f"{value + 0:.2f}".replace("-0.00", "0.00").replace("-", "−")


def draw_series(series: Series, *, metric: str = "accuracy", title: str = "") -> go.Figure:
    """Faithfulness of circuits of each size: 0 = every head replaced by its mean, 1 = the full
    model.
    """
    sizes = [int(size) for size in series.sizes]
    ranked = [float(value) for value in series.ranked]
    low, median, high = ([float(value) for value in part] for part in series.band)
    latest = "nothing measured yet"
    if sizes:
        latest = f"{sizes[-1]} heads {number(ranked[-1])}, random ones {number(median[-1])}"
    fig = figure(
        title,
        f"{title or 'Faithfulness'} ({metric}; 0 = every head replaced by its mean, 1 = full"
        f" model): {latest}.",
        380,
    )
    fig.add_trace(filled_band(sizes, low, high, "random, low to high"))
    tip = "%{x} heads: %{y:.2f}<extra>%{fullData.name}</extra>"
    for values, label, colour, look in (
        (median, "random, median", COLOURS["control"], ("diamond", "dot")),
        (ranked, "circuit", COLOURS["circuit"], ("circle", "solid")),
    ):
        trace = line(sizes, values, label, colour, look)
        fig.add_trace(trace.update(showlegend=True, hovertemplate=tip))
    # the levels' names stand where the curves are not
    for level, text, side in ((0, "every head its mean", "right"), (1, "full model", "left")):
        fig.add_hline(level, line={"color": COLOURS["reference"], "width": 1}, layer="below")
        fig.add_annotation(
            x=int(side == "right"),
            xref="paper",
            y=level,
            text=text,
            showarrow=False,
            xanchor=side,
            yanchor="bottom",
            opacity=0.7,
        )
    shown = [*low, *high, *ranked, 0, 1]
    fig.update_yaxes(
        range=[min(shown) - 0.08, max(shown) + 0.12],
        title_text=f"faithfulness ({hover_text(metric)})",
    )
    fig.update_xaxes(title_text="heads in the circuit")
    return fig.update_layout(showlegend=True, legend=LEGEND, margin_t=76)
