"""Faithfulness against circuit size: the ranking's heads beside random circuits of the same size."""

import statistics

import plotly.graph_objects as go

from ctsft.plots import style
from ctsft.plots.accuracy_curves import _curve
from ctsft.plots.style import COLOURS, LEGEND, figure
from ctsft.utils.format import hover_text, number

MEASURES = {"accuracy": "accuracy", "margin": "logit margin"}

UNDEFINED = (
    "There is nothing to show by this measure: on these rows the full model does exactly as well as"
    " with every head replaced by its mean; a circuit cannot keep a share of no difference. Look at"
    " the other measure, or choose a model that can do the task."
)


def points(events: list[dict]) -> list[dict]:
    """The measured circuits of a faithfulness run, as far as they have come."""
    return [row for row in events if row.get("kind") in ("ranked", "random") and "size" in row]


def series(
    rows: list[dict], measure: str, n_heads: int
) -> tuple[list[int], list[float], tuple[list[float], list[float], list[float]]]:
    """Sizes, the ranking's faithfulness, and low, median and high of the random circuits. A size
    appears with its first random circuit; no head and every head have none and need none.
    """
    ranked = {row["size"]: row[measure] for row in rows if row["kind"] == "ranked"}
    drawn = {
        size: [row[measure] for row in rows if row["kind"] == "random" and row["size"] == size]
        for size in ranked
    }
    sizes = sorted(size for size in ranked if drawn[size] or size in (0, n_heads))
    band = [drawn[size] or [ranked[size]] for size in sizes]
    return (
        sizes,
        [ranked[size] for size in sizes],
        tuple([pick(values) for values in band] for pick in (min, statistics.median, max)),
    )


def defined(rows: list[dict], measure: str) -> bool:
    """False where the full model is no better than the one without heads: there is nothing then
    that a circuit could keep a share of.
    """
    return all(row[measure] == row[measure] for row in rows)


def curve(rows: list[dict], measure: str, now: int, n_heads: int) -> go.Figure:
    """Faithfulness against size, the circuit in force marked at its size; the x axis stays as it is
    while sizes arrive.
    """
    sizes, ranked, band = series(rows, measure, n_heads)
    fig = faithfulness_curve(sizes, ranked, band, metric=MEASURES[measure])
    fig.add_vline(
        now, line={"color": style.COLOURS["circuit"], "width": 1.5, "dash": "dot"}, layer="below"
    )
    fig.add_annotation(
        x=now,
        y=1,
        yref="paper",
        text=f"now: {now}",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        xshift=4,
        opacity=0.8,
    )
    return fig.update_xaxes(range=[-0.02 * n_heads, 1.02 * n_heads])


def reading(rows: list[dict], measure: str, now: int, n_heads: int) -> str:
    """The curve at the measured size nearest to the circuit's, in a sentence."""
    sizes, ranked, band = series(rows, measure, n_heads)
    if len(sizes) < 2:
        return ""
    i = min(range(len(sizes)), key=lambda i: abs(sizes[i] - now))
    low, median, high = (share(values[i]) for values in band)
    near = "" if sizes[i] == now else f" (the measured size nearest to {now})"
    return (
        f"By {MEASURES[measure]}, the {sizes[i]} highest-scoring heads{near} keep"
        f" {share(ranked[i])}; random circuits of that size keep {median} (lowest {low}, highest"
        f" {high})."
    )


def share(value: float) -> str:
    return f"{value + 0:.2f}".replace("-0.00", "0.00").replace("-", "−")


def faithfulness_curve(
    sizes: list[int],
    circuit: list[float],
    # low, median, high over random circuits, each [size]
    random_band: tuple[list[float], list[float], list[float]],
    *,
    metric: str = "accuracy",
    title: str = "",
) -> go.Figure:
    """Share of the full model's behaviour that circuits of each size keep: 0 = no head kept, 1 =
    the full model.
    """
    low, median, high = ([float(v) for v in part] for part in random_band)
    last = (
        f"{sizes[-1]} heads keep {number(circuit[-1])} against {number(median[-1])} for random ones"
        if len(sizes)
        else "nothing measured yet"
    )
    fig = figure(
        title,
        f"{title or 'Faithfulness'} ({metric}; 0 = no head kept, 1 = full model): {last}.",
        380,
    )
    grey, purple = COLOURS["control"], COLOURS["circuit"]
    sizes = [int(s) for s in sizes]
    fig.add_trace(
        go.Scatter(
            x=sizes + sizes[::-1],
            y=high + low[::-1],
            fill="toself",
            fillcolor="rgba(139,145,156,0.25)",
            mode="lines",
            line={"width": 0},
            hoverinfo="skip",
            name="random, low to high",
        )
    )
    tip = "%{x} heads: %{y:.2f}<extra>%{fullData.name}</extra>"
    for values, label, colour, look in (
        (median, "random, median", grey, ("diamond", "dot")),
        (circuit, "circuit", purple, ("circle", "solid")),
    ):
        fig.add_trace(
            _curve(sizes, [float(v) for v in values], label, colour, look).update(
                showlegend=True, hovertemplate=tip
            )
        )
    for level, text, side in ((0, "no head kept", "right"), (1, "full model", "left")):
        # where the curves are not
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
    everything = [*low, *high, *circuit, 0, 1]
    fig.update_yaxes(
        range=[min(everything) - 0.08, max(everything) + 0.12],
        title_text=f"faithfulness ({hover_text(metric)})",
    )
    fig.update_xaxes(title_text="heads in the circuit")
    fig.update_layout(showlegend=True, legend=LEGEND, margin_t=76)
    return fig
