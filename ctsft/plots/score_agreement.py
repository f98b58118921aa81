"""Two scorings of the same heads against each other: methods, languages or checkpoints."""

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Head, Scores
from ctsft.plots.head_grid import Scale, head_grid
from ctsft.plots.head_marks import Marks
from ctsft.plots.inputs import require, require_heads
from ctsft.plots.score_maps import shrink, small_maps
from ctsft.plots.style import COLOURS, figure
from ctsft.plots.traces import selected_ring
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name, hover_text, number
from ctsft.utils.statistics import spearman


def agreement(
    scores: Scores,
    other: Scores,
    names: tuple[str, str] | None = None,
    selected: Head | None = None,
) -> go.Figure:
    """A point a head: its score (x) against its score in `other` (y), both in logits, with the
    Spearman rank correlation of all heads.

    `names`: what the two are called on the axes; their methods where it is left out. `selected`: a
    head (layer, head) with a ring. UserError for another input, or scores of models of different
    shapes.
    """
    for one in (scores, other):
        require("agreement", one, Scores, "two Scores (from ctsft.score_heads)")
    x, y = scores.values.numpy(), other.values.numpy()
    if x.shape != y.shape:
        raise UserError(
            f"These are scores of {x.shape[0]} layers x {x.shape[1]} heads and of {y.shape[0]} x"
            f" {y.shape[1]}; compare scores of the same heads."
        )
    names = (METHODS[scores.method].label, METHODS[other.method].label) if names is None else names
    axes = f"{names[0]}: {METHODS[scores.method].unit}", f"{names[1]}: {METHODS[other.method].unit}"
    fig = score_scatter(x, y, axes)
    if selected:
        require_heads([selected], x.shape)
    if selected and np.isfinite(x[selected]) and np.isfinite(y[selected]):
        fig.add_trace(selected_ring(float(x[selected]), float(y[selected]), 17))
    return fig


def difference_maps(
    first: Scores, second: Scores, names: tuple[str, str], marks: Marks, flip: bool
) -> list[go.Figure]:
    """Two small maps on one scale, and the map of the second minus the first on its own."""
    values = {names[0]: first.values.numpy(), names[1]: second.values.numpy()}
    pair = small_maps(values, marks, Scale(METHODS[first.method].unit), flip)
    difference = second.values.numpy() - first.values.numpy()
    third = head_grid(
        difference,
        marks,
        title=f"{names[1]} − {names[0]}",
        scale=Scale("difference (logits)"),
        flip=flip,
    )
    return [*pair, shrink(third, difference.shape, bar=True)]


def score_scatter(
    first: np.ndarray,
    second: np.ndarray,
    names: tuple[str, str],
    *,
    title: str = "",
) -> go.Figure:
    """Two scorings [layer, head] of the same heads, x against y, with the Spearman rank
    correlation; customdata = [layer, head].
    """
    x, y = np.asarray(first, float), np.asarray(second, float)
    rho = spearman(x, y)
    both = np.isfinite(x) & np.isfinite(y)
    heads = [(int(layer), int(head)) for layer, head in np.argwhere(both)]
    fig = figure(
        title,
        f"{title or 'Agreement'}: {names[0]} against {names[1]} on {len(heads)} heads, Spearman"
        f" rank correlation {rho:.2f}.",
        380,
    )
    hover = [
        f"<b>{head_name(head)}</b><br>{hover_text(names[0])} {number(x[head])}"
        f"<br>{hover_text(names[1])} {number(y[head])}"
        for head in heads
    ]
    fig.add_trace(
        go.Scatter(
            x=[float(x[head]) for head in heads],
            y=[float(y[head]) for head in heads],
            customdata=[list(head) for head in heads],
            mode="markers",
            text=hover,
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
