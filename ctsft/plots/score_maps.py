"""Scores and means as head maps: the large one of all heads, and the small ones that stand side by
side.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ctsft.attribution.means import Means
from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.plots.head_grid import Scale, cell_size, head_grid, hover_texts, symmetric_limit
from ctsft.plots.head_marks import Marks, stroke_widths
from ctsft.plots.inputs import require, require_circuit
from ctsft.plots.map_axes import columns_and_rows
from ctsft.plots.style import alt
from ctsft.utils.format import hover_text, number

SMALL_GAP = 2  # pixels between a small map's cells
SMALL = 0.5  # a small map's cells, as a share of the large map's


def head_map(
    scores: Scores,
    circuit: Circuit | None = None,
    *,
    model=None,
    selected: Head | None = None,
    flip: bool = False,
    title: str = "",
) -> go.Figure:
    """Every head as a cell, coloured by its mean score (logits): x = head, y = layer.

    `scores`: what `ctsft.score_heads` returns, values [layer, head]. `circuit`: its heads are
    outlined, those added or removed by hand marked. `model`: hover texts then say which heads share
    keys and values. `selected`: a head (layer, head) with a ring. `flip`: layer 0 at the bottom.
    UserError for another input, or a circuit of a model of another shape.
    """
    require("head_map", scores, Scores, "Scores (from ctsft.score_heads)")
    marked = require_circuit("head_map", circuit, tuple(scores.values.shape), selected)
    return head_grid(
        scores.values.numpy(),
        replace(circuit_marks(marked, selected), live=circuit is not None),
        title=title or f"{METHODS[scores.method].label}, {len(scores.examples)} examples",
        scale=Scale(METHODS[scores.method].unit),
        hover=score_hover(scores, circuit, model.n_heads // model.n_kv_heads if model else 1),
        flip=flip,
    )


def label_maps(
    values: Scores | Means,
    circuit: Circuit | None = None,
    *,
    selected: Head | None = None,
    flip: bool = False,
) -> go.Figure:
    """One small map a label, side by side on one scale.

    Of `Scores`: the mean score on the label's examples (logits), [layer, head]. Of `Means`: the
    distance of the label's mean from the label-balanced one, the Euclidean norm over d_head.
    UserError for another input, or a circuit of a model of another shape.
    """
    require("label_maps", values, (Scores, Means), "Scores or Means of several labels")
    marked = require_circuit("label_maps", circuit, tuple(values.values.shape[:2]), selected)
    marks = circuit_marks(marked, selected)
    if isinstance(values, Scores):
        return side_by_side(label_score_maps(values, marks, flip))
    return side_by_side(label_distance_maps(values, values.by_label, marks, flip))


def means_map(
    means: Means,
    circuit: Circuit | None = None,
    *,
    selected: Head | None = None,
    flip: bool = False,
    title: str = "Size of the balanced mean",
) -> go.Figure:
    """How large each head's label-balanced mean is: its Euclidean norm over d_head, [layer, head].

    `means`: what `ctsft.label_balanced_means` returns. UserError for another input, or a circuit of
    a model of another shape.
    """
    require("means_map", means, Means, "Means (from ctsft.label_balanced_means)")
    marked = require_circuit("means_map", circuit, tuple(means.values.shape[:2]), selected)
    return head_grid(
        mean_norms(means),
        circuit_marks(marked, selected),
        title=title,
        scale=Scale("norm", sequential=True),
        flip=flip,
    )


def circuit_marks(circuit: Circuit, selected: Head | None = None) -> Marks:
    return Marks(circuit.heads, circuit.added, circuit.removed, selected)


def membership_reason(circuit: Circuit, head: Head) -> str:
    """In or out of the circuit, and why."""
    if head in circuit.heads:
        return f"in the circuit: {circuit.why.get(head) or 'no reason is stored'}"
    if head in circuit.removed:
        return "not in the circuit: removed by hand"
    return "not in the circuit"


def score_hover(scores: Scores, circuit: Circuit | None, kv_group: int = 1) -> list[list[str]]:
    """[layer][head] -> name, score ± standard error, rank, mean per label, in or out of the circuit
    and why, key/value group.
    """
    by_label = {label: values.numpy() for label, values in scores.by_label.items()}
    reasons = None
    if circuit is not None:
        heads = np.ndindex(*scores.values.shape)
        reasons = {head: membership_reason(circuit, head) for head in heads}
    texts = hover_texts(scores.values.numpy(), by_label, reasons, kv_group)
    return [
        [
            text.replace("<br>", f" ± {number(error)}<br>", 1)
            for text, error in zip(row, errors, strict=True)
        ]
        for row, errors in zip(texts, scores.stderr.tolist(), strict=True)
    ]


def example_map(
    scores: Scores, index: int, circuit: Circuit, selected: Head | None, flip: bool
) -> go.Figure:
    """One example's scores, in the colours of the map of their mean."""
    return head_grid(
        scores.per_example[index].numpy(),
        circuit_marks(circuit, selected),
        title=f"Scores on example {scores.examples[index]}",
        scale=Scale(METHODS[scores.method].unit, symmetric_limit(scores.values.numpy())),
        flip=flip,
    )


def label_score_maps(scores: Scores, marks: Marks, flip: bool = False) -> list[go.Figure]:
    """Mean score on each label's examples, a small map a label."""
    values = {label: mean.numpy() for label, mean in scores.by_label.items()}
    return small_maps(values, marks, Scale(METHODS[scores.method].unit), flip)


def mean_norms(means: Means) -> np.ndarray:
    """Norm of each head's balanced mean, [layer, head]."""
    return means.values.norm(dim=-1).numpy()


def label_distances(means: Means, labels: Iterable[str]) -> dict[str, np.ndarray]:
    """Distance of each label's mean from the balanced one, [layer, head]; the order of `labels`
    decides their colours.
    """
    return {
        label: (means.by_label[label] - means.values).norm(dim=-1).numpy()
        for label in labels
        if label in means.by_label
    }


def label_distance_maps(
    means: Means, labels: Iterable[str], marks: Marks, flip: bool = False
) -> list[go.Figure]:
    """`label_distances`, a small map a label."""
    scale = Scale("distance (norm)", sequential=True)
    return small_maps(label_distances(means, labels), marks, scale, flip)


def small_maps(
    values: Mapping[str, np.ndarray], marks: Marks, scale: Scale, flip: bool = False
) -> list[go.Figure]:
    """Small maps on one scale; the last one carries the colour bar."""
    shared = replace(scale, limit=symmetric_limit(*values.values()))
    last = list(values)[-1]
    return [
        shrink(
            head_grid(value, marks, title=title, scale=shared, flip=flip),
            value.shape,
            bar=title == last,
        )
        for title, value in values.items()
    ]


def shrink(fig: go.Figure, shape: tuple[int, int], bar: bool) -> go.Figure:
    """A head map with smaller cells and without the key of its marks, which the large map has.
    `bar`: it carries the colour bar.
    """
    layers, heads = shape
    left, top, bottom, right = 40, 40, 48, 136 if bar else 14
    columns, rows = columns_and_rows(layers, heads)
    size = SMALL * cell_size(layers, heads)
    fig.update_traces(showscale=bar, selector={"type": "heatmap"})
    fig.update_traces(marker_size=size - 1, selector={"name": "heads"})
    fig.update_traces(xgap=SMALL_GAP, ygap=SMALL_GAP, selector={"type": "heatmap"})
    for pen, pixels in stroke_widths(SMALL_GAP).items():
        fig.update_traces(line_width=pixels, selector={"name": "outline", "meta": pen})
    fig.update_layout(
        width=max(size * columns, 150) + left + right,
        height=max(size * rows + top + bottom, 200 if bar else 0),
        annotations=[],
        margin={"l": left, "r": right, "t": top, "b": bottom, "autoexpand": False},
    )
    return fig


def side_by_side(maps: Sequence[go.Figure]) -> go.Figure:
    """Small maps of one shape as one figure; the last one carries the colour bar."""
    titles = [hover_text(fig.layout.title.text) for fig in maps]
    joined = make_subplots(rows=1, cols=len(maps), subplot_titles=titles)
    for column, fig in enumerate(maps, 1):
        joined.add_traces(fig.data, rows=1, cols=column)
        across, down = fig.layout.xaxis, fig.layout.yaxis
        joined.update_xaxes(across.to_plotly_json(), row=1, col=column)
        vertical = down.to_plotly_json() | {"scaleanchor": f"x{column}"}
        if column > 1:
            vertical["title"] = {"text": ""}
        joined.update_yaxes(vertical, row=1, col=column)
    last = maps[-1].layout
    return joined.update_layout(
        width=sum(fig.layout.width for fig in maps),
        height=last.height,
        margin=last.margin,
        paper_bgcolor=last.paper_bgcolor,
        plot_bgcolor=last.plot_bgcolor,
        hovermode=last.hovermode,
        dragmode=last.dragmode,
        showlegend=False,
        meta={"alt": " ".join(map(alt, maps))},
    )


def score_cutoff(scores: Scores, circuit: Circuit, threshold: float) -> float | None:
    """The score at which a rule that goes by score separates the heads: the threshold, or the
    lowest score that the rule selects; None for other rules.
    """
    if circuit.rule.get("name") == "threshold":
        return threshold
    if circuit.rule.get("name") not in ("top", "fraction"):
        return None
    selected = (circuit.heads | circuit.removed) - circuit.added
    return min((scores.values[head].item() for head in selected), default=None)
