"""Scores and means as head maps: what every map of scores has in common, and the small ones that
stand side by side; no streamlit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.means import Means
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.plots.head_grid import Marks, Scale, cell_size, head_map, hover_texts, symmetric_limit
from ctsft.utils.format import number

UNITS = {
    "cdt": "relevance (logits)",
    "atp": "attribution (logits)",
    "ig": "attribution (logits)",
    "ablation": "drop if ablated (logits)",
}

NAMES = {
    "cdt": "CD-T",
    "atp": "Attribution patching",
    "ig": "Integrated gradients",
    "ablation": "Mean ablation",
}

# cells of a small map, of the size on the large one
SMALL = 0.5


def marks(circuit: Circuit, selected: Head | None = None) -> Marks:
    return Marks(circuit.heads, circuit.added, circuit.removed, selected)


def reason(circuit: Circuit, head: Head) -> str:
    """In or out of the circuit, and why."""
    if head in circuit.heads:
        return f"in the circuit: {circuit.why.get(head) or 'no reason is kept'}"
    return (
        "not in the circuit: removed by hand" if head in circuit.removed else "not in the circuit"
    )


def hover(scores: Scores, circuit: Circuit, model: Model) -> list[list[str]]:
    """[layer][head] -> name, score ± standard error, rank, mean per label, in or out and why, KV
    group.
    """
    by_label = {label: values.numpy() for label, values in scores.by_label.items()}
    why = {head: reason(circuit, head) for head in model.heads}
    texts = hover_texts(scores.values.numpy(), by_label, why, model.n_heads // model.n_kv_heads)
    return [
        [
            text.replace("<br>", f" ± {number(error)}<br>", 1)
            for text, error in zip(row, errors, strict=True)
        ]
        for row, errors in zip(texts, scores.stderr.tolist(), strict=True)
    ]


def score_map(
    scores: Scores,
    circuit: Circuit,
    model: Model,
    selected: Head | None = None,
    flip: bool = False,
    title: str = "",
) -> go.Figure:
    """The head map of Relevance and Circuit."""
    return head_map(
        scores.values.numpy(),
        marks(circuit, selected),
        title=title or f"{NAMES[scores.method]}, {len(scores.examples)} examples",
        scale=Scale(UNITS[scores.method]),
        hover=hover(scores, circuit, model),
        flip=flip,
    )


def example_map(
    scores: Scores, index: int, circuit: Circuit, selected: Head | None, flip: bool
) -> go.Figure:
    """One example's scores, in the colours of the map of their mean."""
    scale = Scale(UNITS[scores.method], symmetric_limit(scores.values.numpy()))
    title = f"Scores on example {scores.examples[index]}"
    return head_map(
        scores.per_example[index].numpy(),
        marks(circuit, selected),
        title=title,
        scale=scale,
        flip=flip,
    )


def label_maps(scores: Scores, drawn: Marks, flip: bool) -> list[go.Figure]:
    """Mean score on each label's examples."""
    return small_maps(
        {label: values.numpy() for label, values in scores.by_label.items()},
        drawn,
        Scale(UNITS[scores.method]),
        flip,
    )


def mean_sizes(means: Means) -> np.ndarray:
    """Norm of each head's balanced mean, [layer, head]."""
    return means.values.norm(dim=-1).numpy()


def departures(means: Means, labels: Iterable[str]) -> dict[str, np.ndarray]:
    """How far each label's mean lies from the balanced one, [layer, head]; labels in the given
    order, which decides their colours.
    """
    return {
        label: (means.by_label[label] - means.values).norm(dim=-1).numpy()
        for label in labels
        if label in means.by_label
    }


def departure_maps(
    means: Means, labels: Iterable[str], drawn: Marks, flip: bool
) -> list[go.Figure]:
    return small_maps(
        departures(means, labels), drawn, Scale("distance (norm)", sequential=True), flip
    )


def small_maps(
    values: Mapping[str, np.ndarray], drawn: Marks, scale: Scale, flip: bool
) -> list[go.Figure]:
    """Small maps on one scale; the last one carries the colour bar."""
    shared = replace(scale, limit=symmetric_limit(*values.values()))
    figures = [
        head_map(value, drawn, title=name, scale=shared, flip=flip)
        for name, value in values.items()
    ]
    return [
        shrink(fig, value.shape, bar=i == len(figures) - 1)
        for i, (fig, value) in enumerate(zip(figures, values.values(), strict=True))
    ]


def shrink(fig: go.Figure, shape: tuple[int, int], bar: bool) -> go.Figure:
    """A head map with smaller cells and without the key of its marks, which the large map has."""
    (layers, heads), left, top, bottom, right = shape, 40, 40, 48, 136 if bar else 14
    size = SMALL * cell_size(layers, heads)
    fig.update_traces(showscale=bar, selector={"type": "heatmap"})
    fig.update_traces(marker_size=size - 1, selector={"name": "heads"})
    fig.update_layout(
        width=max(size * heads, 150) + left + right,
        height=max(size * layers + top + bottom, 200 if bar else 0),
        annotations=[],
        margin={"l": left, "r": right, "t": top, "b": bottom, "autoexpand": False},
    )
    return fig


def cut(scores: Scores, circuit: Circuit, threshold: float) -> float | None:
    """Where a rule that goes by score parts the heads: the threshold, or the lowest score kept;
    None for other rules.
    """
    if circuit.rule.get("name") == "threshold":
        return threshold
    kept = [
        scores.values[head].item() for head in (circuit.heads | circuit.removed) - circuit.added
    ]
    return min(kept) if kept and circuit.rule.get("name") in ("top", "fraction") else None
