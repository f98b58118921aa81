"""Heads by position as a map: a row for each head, a column for each token of one text, or for each
position of a pool's texts, counted from the readout.
"""

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.position_scores import PositionScores
from ctsft.plots.head_grid import symmetric_limit
from ctsft.plots.head_on_text import label
from ctsft.plots.inputs import require
from ctsft.plots.style import DIVERGING, figure
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name, number

EXPECTED = 'scores by position (`score_heads(..., positions="each").by_position`)'
LEAST_TEXTS = 2  # of a position that a pool's map shows


def position_map(
    scores: PositionScores, example: int | None = None, *, title: str = ""
) -> go.Figure:
    """Scores in logits. `example`: the number of one text, whose tokens are the columns; None: the
    means over the pool, from the longest text's first position that at least two texts have.
    UserError for another input than PositionScores, or a text that they lack.
    """
    require("position_map", scores, PositionScores, EXPECTED)
    if example is None:
        return pool_map(scores, title)
    if not 0 <= example < len(scores.examples):
        raise UserError(
            f"There is no text {example}; these scores have {len(scores.examples)}, counted from 0."
        )
    tokens = scores.tokens[example]
    hover = [f"{label(token)} (token {i + 1})" for i, token in enumerate(tokens)]
    values = scores.on_text(example).numpy()
    return draw(scores, values, [label(token) for token in tokens], hover, title)


def pool_map(scores: PositionScores, title: str) -> go.Figure:
    counts = scores.counts.numpy()
    shown = np.flatnonzero(counts >= min(LEAST_TEXTS, len(scores.examples)))
    names = [
        f"{scores.offsets[i]:+d}".replace("-", "−") if scores.offsets[i] else "readout"
        for i in shown
    ]
    errors = scores.stderr.numpy()
    hover = [f"{name}, {counts[i]} texts" for name, i in zip(names, shown, strict=True)]
    fig = draw(scores, scores.values.numpy()[:, shown], names, hover, title, errors[:, shown])
    fig.update_xaxes(title_text="position, counted from the readout")
    return fig


def draw(
    scores: PositionScores,
    values: np.ndarray,
    columns: list[str],
    hover: list[str],
    title: str,
    errors: np.ndarray | None = None,
) -> go.Figure:
    """`values` and their standard errors are [head, column]."""
    heads = [head_name(head) for head in scores.heads]
    row, column = np.unravel_index(np.nanargmax(np.abs(values)), values.shape)
    text = (
        f"{title or 'Scores by position'}: {len(heads)} heads, {len(columns)} positions; the"
        f" largest score, {number(values[row, column])} logits, is that of {heads[row]} at"
        f" {hover[column]}."
    )
    fig = figure(title, text, 150 + 30 * len(heads))
    limit = symmetric_limit(values)
    fig.add_trace(
        go.Heatmap(
            z=values.tolist(),
            x=list(range(len(columns))),
            y=list(range(len(heads))),
            zmin=-limit,
            zmax=limit,
            colorscale=DIVERGING,
            xgap=1,
            ygap=1,
            text=[
                [
                    f"{heads[i]} at {hover[j]}<br>{number(values[i, j])} logits"
                    + (f" ± {number(errors[i, j])}" if errors is not None else "")
                    for j in range(len(columns))
                ]
                for i in range(len(heads))
            ],
            hovertemplate="%{text}<extra></extra>",
            colorbar={
                "title": {"text": "logits", "side": "right", "font": {"size": 11}},
                "thickness": 12,
                "outlinewidth": 0,
            },
        )
    )
    step = -(-len(columns) // 40)
    shown = list(range(len(columns)))[::-1][::step][::-1]
    fig.update_xaxes(
        tickvals=shown,
        ticktext=[columns[i] for i in shown],
        tickangle=-60,
        showgrid=False,
        automargin=True,
    )
    fig.update_yaxes(
        tickvals=list(range(len(heads))),
        ticktext=heads,
        autorange="reversed",
        showgrid=False,
        automargin=True,
    )
    return fig
