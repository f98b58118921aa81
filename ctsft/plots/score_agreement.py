"""Two sets of scores of the same heads against each other: ways of scoring, languages or
checkpoints; no streamlit.
"""

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.scores import Head, Scores
from ctsft.plots import score_charts, score_maps
from ctsft.plots.head_grid import Marks, Scale, head_map
from ctsft.utils.statistics import spearman


def scatter(
    mine: Scores, other: Scores, names: tuple[str, str], selected: Head | None
) -> go.Figure:
    """A point a head, the selected one ringed; a click on a point carries the head."""
    a, b = mine.values.numpy(), other.values.numpy()
    units = tuple(
        f"{name}: {score_maps.UNITS[scores.method]}"
        for name, scores in zip(names, (mine, other), strict=True)
    )
    fig = score_charts.correlation(a, b, units, spearman(a, b), title="")
    if selected and np.isfinite(a[selected]) and np.isfinite(b[selected]):
        fig.add_trace(
            go.Scatter(
                x=[float(a[selected])],
                y=[float(b[selected])],
                mode="markers",
                hoverinfo="skip",
                name="selected",
                marker={
                    "symbol": "circle-open",
                    "size": 17,
                    "color": "#e0751f",
                    "line": {"width": 3},
                },
            )
        )
    return fig


def side_by_side(
    mine: Scores, other: Scores, names: tuple[str, str], drawn: Marks, flip: bool
) -> list[go.Figure]:
    """Two maps on one scale, and the map of the second minus the first on its own."""
    unit = score_maps.UNITS[mine.method]
    pair = score_maps.small_maps(
        {name: scores.values.numpy() for name, scores in zip(names, (mine, other), strict=True)},
        drawn,
        Scale(unit),
        flip,
    )
    gap = other.values.numpy() - mine.values.numpy()
    third = head_map(
        gap, drawn, title=f"{names[1]} − {names[0]}", scale=Scale("difference (logits)"), flip=flip
    )
    return [*pair, score_maps.shrink(third, gap.shape, bar=True)]
