"""The axes of a head map: which way layers and heads run, and a map that fills a page's width."""

import numpy as np
import plotly.graph_objects as go

from ctsft.utils.format import Head

AXIS = {"showgrid": False, "ticks": "", "constrain": "domain"}
FILLED_HEIGHT = 330  # pixels of all rows of a map that fills the width


def is_sideways(layers: int, heads: int) -> bool:
    """Whether a map lies on its side, with its layers from left to right."""
    return layers > heads


def columns_and_rows(layers: int, heads: int) -> tuple[int, int]:
    return (layers, heads) if is_sideways(layers, heads) else (heads, layers)


def place(head: Head, shape: tuple[int, int]) -> tuple[int, int]:
    """The x and y of a head on a map of `shape` (layers, heads)."""
    layer, index = head
    return (layer, index) if is_sideways(*shape) else (index, layer)


def map_axes(layers: int, heads: int, flip: bool = False) -> dict[str, dict]:
    """Plotly's settings of a map's axes, "xaxis" and "yaxis"; `flip`: the layers the other way."""
    columns, rows = columns_and_rows(layers, heads)
    names = ("layer", "head") if is_sideways(layers, heads) else ("head", "layer")
    across, down = [-0.5, columns - 0.5], [rows - 0.5, -0.5]
    if flip and is_sideways(layers, heads):
        across = across[::-1]
    elif flip:
        down = down[::-1]
    shared = [
        {"range": ends, "tickvals": _ticks(count), "title": {"text": name}, **AXIS}
        for ends, count, name in zip((across, down), (columns, rows), names, strict=True)
    ]
    return {
        "xaxis": shared[0] | {"constraintoward": "left"},
        "yaxis": shared[1] | {"scaleanchor": "x", "constraintoward": "top"},
    }


def _ticks(count: int) -> list[int]:
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64) if count / s <= 16 or s == 64)
    return list(range(0, count, step))


def fill(fig: go.Figure, layers: int, heads: int) -> go.Figure:
    """The map with cells as wide as the page allows, instead of square ones; show it with
    width="stretch".
    """
    _, rows = columns_and_rows(layers, heads)
    height = float(np.clip(FILLED_HEIGHT / rows, 12, 44))
    fig.update_traces(marker_size=height - 1, selector={"name": "heads"})
    # a cell is wider than its mark: whatever lies nearest is meant
    fig.update_layout(hoverdistance=-1)
    fig.update_xaxes(constrain=None)
    fig.update_yaxes(constrain=None, scaleanchor=None)
    margin = {"l": 44, "r": 112, "t": 36, "b": 76, "autoexpand": False}
    fig.update_annotations(yshift=-margin["b"], xshift=-margin["l"], selector={"name": "key"})
    return fig.update_layout(
        width=None, height=height * rows + margin["t"] + margin["b"], margin=margin
    )
