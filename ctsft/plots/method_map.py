"""The head map of a page: one method's scores, what another method says about each head, and one
colour scale for the whole map or one for each layer.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.plots.head_grid import Scale, head_grid
from ctsft.plots.score_maps import circuit_marks, score_hover
from ctsft.utils.format import hover_text, number

BY_LAYER = "share of the layer's largest |score|"


@dataclass(frozen=True)
class Look:
    """`by_layer`: each layer has a colour scale of its own, so that layers of small scores show
    their pattern too; `kv_group`: heads that share keys and values; `flip`: layers the other way.
    """

    selected: Head | None = None
    by_layer: bool = False
    kv_group: int = 1
    flip: bool = False
    title: str = ""


def method_map(
    scores: Scores,
    circuit: Circuit,
    look: Look = Look(),
    other: Scores | None = None,
    hatched: Collection[Head] = (),
) -> go.Figure:
    """The scores as a head map, the circuit outlined. `other`: scores of the same heads that hover
    texts show too; `hatched`: heads about which the two disagree.
    """
    values = scores.values.numpy()
    marks = replace(circuit_marks(circuit, look.selected), hatched=frozenset(hatched), live=True)
    hover = score_hover(scores, circuit, look.kv_group)
    if other is not None:
        hover = with_other(hover, other)
    scale = Scale(METHODS[scores.method].unit)
    if look.by_layer:
        values, scale = shares_of_layer(values), Scale(BY_LAYER, 1.0, ends="each layer by itself")
    title = look.title or f"{METHODS[scores.method].label}, {len(scores.examples)} examples"
    return head_grid(values, marks, title=title, scale=scale, hover=hover, flip=look.flip)


def shares_of_layer(values: np.ndarray) -> np.ndarray:
    """[layer, head] -> each score divided by the largest |score| of its layer; 0 in a layer of
    zeros.
    """
    sizes = np.nanmax(np.abs(np.where(np.isfinite(values), values, 0.0)), axis=1, keepdims=True)
    return values / np.where(sizes > 0, sizes, 1.0)


def with_other(hover: list[list[str]], other: Scores) -> list[list[str]]:
    """The hover texts with the other method's score and rank of each head as their third line."""
    ranks = {head: rank for rank, head in enumerate(other.ranking(), 1)}
    name, values = hover_text(METHODS[other.method].label), other.values.numpy()

    def added(text: str, head: Head) -> str:
        lines = text.split("<br>")
        rank = f", rank {ranks[head]} of {len(ranks)}" if head in ranks else ""
        return "<br>".join([*lines[:2], f"{name}: {number(values[head])}{rank}", *lines[2:]])

    return [
        [added(text, (layer, head)) for head, text in enumerate(row)]
        for layer, row in enumerate(hover)
    ]
