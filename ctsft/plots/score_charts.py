"""Charts of scores other than maps: one head's means, labels and examples, the distribution of all
heads.

Each label of the task has one colour and, where examples are drawn, its own row, so that colour is
never the only sign. The functions that take `Scores` are public; the others take plain values.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.means import Means
from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Head, Scores
from ctsft.plots.inputs import require, require_heads
from ctsft.plots.score_maps import label_distances, mean_norms
from ctsft.plots.style import COLOURS, LABEL_COLOURS, LEGEND, figure
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name, hover_text, number


def score_bars(scores: Scores, head: Head, *, title: str = "Score by label") -> go.Figure:
    """One head's mean score on each label's examples (logits), with the standard error of the mean.

    `head`: (layer, head). UserError for another input than Scores, or a head that they lack.
    """
    require("score_bars", scores, Scores, "Scores (from ctsft.score_heads)")
    require_heads([head], tuple(scores.values.shape))
    means, errors = {}, {}
    for label, mean in scores.by_label.items():
        values = scores.per_example[np.array(scores.labels) == label, head[0], head[1]].numpy()
        means[label] = mean[head].item()
        errors[label] = float(np.std(values) / len(values) ** 0.5)
    return label_bars(means, errors, title=title, unit=METHODS[scores.method].unit)


def example_strip(
    scores: Scores,
    head: Head,
    texts: list[str] | None = None,
    *,
    title: str = "Score on each example",
) -> go.Figure:
    """One head's score on every example (logits), a row a label.

    `head`: (layer, head). `texts`: what hovering shows, one for each example; their ids where it is
    left out. UserError for another input than Scores, a head that they lack, or texts of another
    number.
    """
    require("example_strip", scores, Scores, "Scores (from ctsft.score_heads)")
    require_heads([head], tuple(scores.values.shape))
    texts = [f"example {example}" for example in scores.examples] if texts is None else texts
    if len(texts) != len(scores.examples):
        raise UserError(
            f"There are {len(texts)} texts for {len(scores.examples)} examples; give one for each."
        )
    values = scores.per_example[:, head[0], head[1]].numpy()
    unit = METHODS[scores.method].unit
    return example_points(values, scores.labels, texts, title=title, unit=unit)


def head_means(
    means: Means,
    labels: Iterable[str],
    head: Head,
    *,
    title: str = "Size of its mean, and distances",
) -> go.Figure:
    """How large one head's balanced mean is, and the distance of each label's mean from it; both
    are Euclidean norms over d_head.
    """
    distances = {
        label: float(values[head]) for label, values in label_distances(means, labels).items()
    }
    return mean_bars(float(mean_norms(means)[head]), distances, title=title)


def mean_bars(norm: float, distances: Mapping[str, float], *, title: str = "") -> go.Figure:
    """One head's balanced mean, and the distance of each label's mean from it (same unit: norm of
    z).
    """
    text = f"{title or 'Means of one head'}: balanced mean {number(norm)}"
    if distances:
        farthest = max(distances, key=distances.get)
        text += f"; {farthest} is farthest from it, by {number(distances[farthest])}"
    fig = figure(title, f"{text}.", 96 + 34 * (len(distances) + 1))
    rows = ["balanced mean", *distances]
    sizes = [float(norm), *map(float, distances.values())]
    fig.add_trace(_bars(rows, sizes, [COLOURS["control"], *_label_colours(distances)]))
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
    listed = ", ".join(
        f"{label} {number(value)} ± {number(errors[label])}" for label, value in means.items()
    )
    fig = figure(
        title,
        f"{title or 'Score per label'}: {listed} (mean ± standard error, {unit}).",
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


def example_points(
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
    rows = {label: [] for label in labels}
    for i, label in enumerate(labels):
        rows[label].append(i)
    means = {label: float(np.mean(scores[members])) for label, members in rows.items()}
    listed = ", ".join(f"{label} {number(mean)}" for label, mean in means.items())
    fig = figure(
        title,
        f"{title or 'Score per example'}: {len(scores)} examples, mean by label: {listed}"
        f" ({unit}).",
        100 + 46 * len(rows),
    )
    # random heights within a row, so that equal scores do not hide each other
    jitter = np.random.default_rng(0).uniform(-0.24, 0.24, len(scores))
    for place, (label, colour) in enumerate(zip(rows, _label_colours(rows), strict=True)):
        members = rows[label]
        hover = [
            f"<b>{number(scores[i])}</b>  {hover_text(label)}<br>{hover_text(texts[i])}"
            for i in members
        ]
        fig.add_trace(
            go.Scatter(
                x=[float(scores[i]) for i in members],
                y=[place + float(jitter[i]) for i in members],
                customdata=[[i] for i in members],
                mode="markers",
                name=hover_text(label),
                marker={"color": colour, "size": 9, "opacity": 0.8, "line": {"width": 0}},
                text=hover,
                hovertemplate="%{text}<extra></extra>",
            )
        )
        fig.add_shape(
            type="line",
            x0=means[label],
            x1=means[label],
            y0=place - 0.38,
            y1=place + 0.38,
            line={"color": colour, "width": 3},
            layer="above",
        )
    fig.add_vline(0, line={"color": COLOURS["reference"], "width": 1}, layer="below")
    fig.update_xaxes(title_text=f"{unit} on each example; bar: mean of the label")
    fig.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[hover_text(label) for label in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        automargin=True,
    )
    return fig


def score_histogram(
    values: np.ndarray,
    threshold: float | None,
    circuit: Iterable[Head],
    *,
    title: str = "",
    unit: str = "relevance (logits)",
) -> go.Figure:
    """How the scores [layer, head] are distributed; the circuit's heads in colour, each also as a
    tick below the axis; line = threshold.
    """
    values = np.asarray(values, float)
    members = [head for head in sorted(circuit) if np.isfinite(values[head])]
    is_member = np.zeros(values.shape, bool)
    for head in members:
        is_member[head] = True
    finite = np.isfinite(values)
    edges = np.histogram_bin_edges(
        values[finite] if finite.any() else [0, 1],
        bins=int(np.clip(2 * np.sqrt(values.size), 12, 48)),
    )
    cutoff = "" if threshold is None else f", threshold {number(threshold)}"
    fig = figure(
        title,
        f"{title or 'Distribution of scores'}: {finite.sum()} heads, {len(members)} in the"
        f" circuit{cutoff}.",
        300,
    )
    total = np.zeros(len(edges) - 1, int)
    for part, label, colour in (
        (is_member, "in the circuit", "circuit"),
        (finite & ~is_member, "other heads", "control"),
    ):
        counts = np.histogram(values[part], edges)[0]
        total += counts
        fig.add_trace(_histogram_bars(edges, counts, label, COLOURS[colour]))
    tallest = float(total.max()) or 1.0
    fig.add_trace(
        go.Scatter(
            x=[float(values[head]) for head in members],
            y=[-0.06 * tallest] * len(members),
            mode="markers",
            showlegend=False,
            name="circuit",
            customdata=[list(head) for head in members],
            text=[f"{head_name(head)} {number(values[head])}" for head in members],
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
    fig.update_yaxes(title_text="heads", range=[-0.12 * tallest, 1.12 * tallest], tick0=0)
    fig.update_layout(barmode="stack", showlegend=True, legend=LEGEND, margin_t=76)
    return fig


def _histogram_bars(edges: np.ndarray, counts: np.ndarray, label: str, colour: str) -> go.Bar:
    return go.Bar(
        x=((edges[:-1] + edges[1:]) / 2).tolist(),
        y=counts.tolist(),
        width=float(edges[1] - edges[0]) * 0.92,
        name=label,
        hovertemplate="%{y} heads near %{x:.3g}<extra>%{fullData.name}</extra>",
        marker={"color": colour, "line": {"width": 0}},
    )


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
