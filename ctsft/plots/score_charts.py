"""Charts of scores rather than of runs: one head's means, labels and examples, the distribution of
all heads, two methods compared.

Same contract as `plots.py`: plain values in, one figure out, described by `alt(fig)`. Each label of
the task has one colour and, where examples are drawn, its own row, so that colour is never the only
sign.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.plots.style import COLOURS, LABEL_COLOURS, LEGEND, figure
from ctsft.utils.format import head_name, hover_text, number


def head_means_bar(norm: float, departures: Mapping[str, float], *, title: str = "") -> go.Figure:
    """One head: how large its balanced mean is, and how far each label's own mean lies from it
    (same unit: norm of z).
    """
    farthest = max(departures, key=departures.get) if departures else None
    text = f"{title or 'Means of one head'}: balanced mean {number(norm)}"
    text += (
        f"; {farthest} departs most from it, by {number(departures[farthest])}."
        if farthest
        else "."
    )
    fig = figure(title, text, 96 + 34 * (len(departures) + 1))
    rows = ["balanced mean", *departures]
    sizes = [float(norm), *map(float, departures.values())]
    fig.add_trace(_bars(rows, sizes, [COLOURS["control"], *_label_colours(departures)]))
    fig.update_xaxes(
        title_text="norm: balanced mean, then distance of each label's mean from it",
        rangemode="tozero",
    )
    fig.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    return fig


def label_bars(
    means: Mapping[str, float],
    errors: Mapping[str, float],
    *,
    title: str = "",
    unit: str = "relevance",
) -> go.Figure:
    """One head's mean score per label, with standard errors."""
    spoken = ", ".join(
        f"{label} {number(value)} ± {number(errors[label])}" for label, value in means.items()
    )
    fig = figure(
        title,
        f"{title or 'Score per label'}: {spoken} (mean ± standard error, {unit}).",
        96 + 34 * len(means),
    )
    for (label, value), colour in zip(means.items(), _label_colours(means), strict=True):
        whisker = {
            "type": "data",
            "array": [float(errors[label])],
            "color": colour,
            "thickness": 2,
            "width": 6,
        }
        fig.add_trace(
            _bars([label], [float(value)], [colour]).update(
                error_x=whisker, marker_opacity=0.45, name=hover_text(label)
            )
        )
    fig.add_vline(0, line={"color": COLOURS["reference"], "width": 1})
    fig.update_xaxes(title_text=f"{unit}, mean ± standard error")
    fig.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    return fig


def example_strip(
    scores: np.ndarray,
    labels: list[str],
    texts: list[str],
    *,
    title: str = "",
    unit: str = "relevance",
) -> go.Figure:
    """One head's score on every example [n], a row per label, the label's mean as a line;
    customdata = [index of the example].
    """
    scores = np.asarray(scores, float)
    kinds = list(dict.fromkeys(labels))
    means = {
        kind: float(np.mean([s for s, own in zip(scores, labels, strict=True) if own == kind]))
        for kind in kinds
    }
    spoken = ", ".join(f"{kind} {number(mean)}" for kind, mean in means.items())
    fig = figure(
        title,
        f"{title or 'Score per example'}: {len(scores)} examples, mean by label: {spoken}"
        f" ({unit}).",
        100 + 46 * len(kinds),
    )
    # so that equal scores do not hide each other
    spread = np.random.default_rng(0).uniform(-0.24, 0.24, len(scores))
    for row, (kind, colour) in enumerate(zip(kinds, _label_colours(kinds), strict=True)):
        own = [i for i, label in enumerate(labels) if label == kind]
        fig.add_trace(
            go.Scatter(
                x=[float(scores[i]) for i in own],
                y=[row + float(spread[i]) for i in own],
                customdata=[[i] for i in own],
                mode="markers",
                name=hover_text(kind),
                marker={"color": colour, "size": 9, "opacity": 0.8, "line": {"width": 0}},
                text=[
                    f"<b>{number(scores[i])}</b>  {hover_text(kind)}<br>{hover_text(texts[i])}"
                    for i in own
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
        fig.add_shape(
            type="line",
            x0=means[kind],
            x1=means[kind],
            y0=row - 0.38,
            y1=row + 0.38,
            line={"color": colour, "width": 3},
            layer="above",
        )
    fig.add_vline(0, line={"color": COLOURS["reference"], "width": 1}, layer="below")
    fig.update_xaxes(title_text=f"{unit} on each example; bar: mean of the label")
    rows = range(len(kinds))
    fig.update_yaxes(
        tickvals=list(rows),
        ticktext=[hover_text(k) for k in kinds],
        range=[len(kinds) - 0.5, -0.5],
        showgrid=False,
        automargin=True,
    )
    return fig


def score_histogram(
    values: np.ndarray,
    threshold: float | None,
    in_circuit: Iterable[Head],
    *,
    title: str = "",
    unit: str = "relevance (logits)",
) -> go.Figure:
    """How the scores [layer, head] are distributed; the circuit's heads in colour, each also as a
    tick below the axis; line = threshold.
    """
    values = np.asarray(values, float)
    chosen = [at for at in sorted(in_circuit) if np.isfinite(values[at])]
    kept = np.zeros(values.shape, bool)
    for at in chosen:
        kept[at] = True
    finite = np.isfinite(values)
    edges = np.histogram_bin_edges(
        values[finite] if finite.any() else [0, 1],
        bins=int(np.clip(2 * np.sqrt(values.size), 12, 48)),
    )
    middle, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    cut = "" if threshold is None else f", threshold {number(threshold)}"
    fig = figure(
        title,
        f"{title or 'Distribution of scores'}: {finite.sum()} heads, {len(chosen)} in the"
        f" circuit{cut}.",
        300,
    )
    most = 0
    for part, label, colour in (
        (kept, "in the circuit", "circuit"),
        (finite & ~kept, "other heads", "control"),
    ):
        counts = np.histogram(values[part], edges)[0]
        most = most + counts
        bar = go.Bar(
            x=middle.tolist(),
            y=counts.tolist(),
            width=width * 0.92,
            name=label,
            hovertemplate="%{y} heads near %{x:.3g}<extra>%{fullData.name}</extra>",
        )
        fig.add_trace(bar.update(marker={"color": COLOURS[colour], "line": {"width": 0}}))
    tall = float(np.max(most)) or 1.0
    fig.add_trace(
        go.Scatter(
            x=[float(values[at]) for at in chosen],
            y=[-0.06 * tall] * len(chosen),
            mode="markers",
            showlegend=False,
            name="kept",
            customdata=[list(at) for at in chosen],
            text=[f"{head_name(at)} {number(values[at])}" for at in chosen],
            marker={
                "symbol": "line-ns",
                "size": 11,
                "line": {"color": COLOURS["circuit"], "width": 2},
            },
            hovertemplate="%{text}<extra></extra>",
        )
    )
    if threshold is not None:
        fig.add_vline(
            float(threshold),
            line={"color": COLOURS["reference"], "width": 2},
            annotation_text=f"threshold {number(threshold)}",
        )
    fig.update_xaxes(title_text=hover_text(unit))
    fig.update_yaxes(title_text="heads", range=[-0.12 * tall, 1.12 * tall], tick0=0)
    fig.update_layout(barmode="stack", showlegend=True, legend=LEGEND, margin_t=76)
    return fig


def correlation(
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    names: tuple[str, str],
    rho: float,
    *,
    title: str = "",
) -> go.Figure:
    """Two methods' scores [layer, head] of the same heads, x against y, with the Spearman rank
    correlation; customdata = [layer, head].
    """
    a, b = np.asarray(scores_a, float), np.asarray(scores_b, float)
    heads = [
        (int(layer), int(head)) for layer, head in np.argwhere(np.isfinite(a) & np.isfinite(b))
    ]
    text = (
        f"{title or 'Agreement'}: {names[0]} against {names[1]} on {len(heads)} heads, Spearman"
        f" rank correlation {rho:.2f}."
    )
    fig = figure(title, text, 380)
    fig.add_trace(
        go.Scatter(
            x=[float(a[at]) for at in heads],
            y=[float(b[at]) for at in heads],
            customdata=[list(at) for at in heads],
            mode="markers",
            text=[
                f"<b>{head_name(at)}</b><br>{hover_text(names[0])} {number(a[at])}"
                f"<br>{hover_text(names[1])} {number(b[at])}"
                for at in heads
            ],
            hovertemplate="%{text}<extra></extra>",
            marker={"color": COLOURS["circuit"], "size": 9, "opacity": 0.75, "line": {"width": 0}},
        )
    )
    fig.add_annotation(
        x=0.01,
        y=0.99,
        xref="paper",
        yref="paper",
        text=f"Spearman ρ = {rho:.2f}".replace("-", "−"),
        showarrow=False,
        xanchor="left",
        yanchor="top",
    )
    fig.update_xaxes(title_text=hover_text(names[0]))
    fig.update_yaxes(title_text=hover_text(names[1]))
    return fig


def _bars(rows: list[str], sizes: list[float], colours: list[str]) -> go.Bar:
    return go.Bar(
        x=sizes,
        y=[hover_text(row) for row in rows],
        orientation="h",
        marker={"color": colours, "line": {"width": 0}},
        hovertemplate="%{y}: %{x:.3g}<extra></extra>",
    )


def _label_colours(labels: Iterable[str]) -> list[str]:
    return [LABEL_COLOURS[i % len(LABEL_COLOURS)] for i, _ in enumerate(labels)]
