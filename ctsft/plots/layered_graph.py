"""A discovered circuit as a layered graph: heads by layer, the logits at the end, an edge to each
target a head was chosen for; no streamlit.

Relevance for the logits is in logits, relevance for a later head is along the label direction of
what that head writes: two units. So widths, and the smallest edge that is drawn, go by the
strongest edge of the same kind.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.circuit.circuit import LOGITS, Edge
from ctsft.plots import style
from ctsft.utils import format

WIDTHS = 6  # classes of width: one trace each
THICK = 7.0  # pixels of the strongest edge

# of a layer, up or down, in distances between heads
SHIFT = 0.14

# marker of each iteration
STEPS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon")


def called(target: Head | str) -> str:
    return LOGITS if target == LOGITS else format.head_name(target)


def strongest(edges: Sequence[Edge]) -> dict[bool, float]:
    """The largest |relevance| of edges to the logits (True) and of edges to heads (False)."""
    return {
        kind: max(
            (abs(value) for _, target, value in edges if (target == LOGITS) == kind), default=0.0
        )
        for kind in (True, False)
    }


def shares(edges: Sequence[Edge]) -> list[float]:
    """Each edge's |relevance| as a share of the strongest one of its kind."""
    top = strongest(edges)
    return [
        abs(value) / top[target == LOGITS] if top[target == LOGITS] else 0.0
        for _, target, value in edges
    ]


def above(edges: Sequence[Edge], least: float) -> list[Edge]:
    """The edges of at least a share `least` of the strongest one of their kind."""
    return [edge for edge, share in zip(edges, shares(edges), strict=True) if share >= least]


def iteration(edges: Sequence[Edge]) -> dict[Head, int]:
    """In which iteration each head came in: 0 for the logits, one more than its targets'
    otherwise.
    """
    found = {source: 0 for source, target, _ in edges if target == LOGITS}
    waiting = [edge for edge in edges if edge[1] != LOGITS]
    while new := {
        source: found[target] + 1
        for source, target, _ in waiting
        if target in found and source not in found
    }:
        found |= new
    return found


def grown(edges: Sequence[Edge]) -> list[frozenset[Head]]:
    """The circuit after each iteration."""
    steps = iteration(edges)
    return [
        frozenset(head for head, own in steps.items() if own <= depth)
        for depth in range(max(steps.values(), default=-1) + 1)
    ]


def places(edges: Sequence[Edge], n_layers: int) -> dict[Head | str, tuple[float, float]]:
    """x = layer, the logits one step behind the last; y spreads a layer's heads evenly around the
    middle, head 0 on top. Layers stand a little higher or lower than their neighbours, so that
    edges which pass a layer do not run through its heads.
    """
    heads = sorted(iteration(edges))
    layers = {layer: [head for head in heads if head[0] == layer] for layer, _ in heads}
    tallest = max(map(len, layers.values()), default=1)
    found: dict[Head | str, tuple[float, float]] = {LOGITS: (float(n_layers), 0.0)}
    for layer, own in layers.items():
        step = min(1.0, tallest / len(own))
        found |= {
            head: (float(layer), step * ((len(own) - 1) / 2 - i) + SHIFT * (2 * layer % 5 - 2) / 2)
            for i, head in enumerate(own)
        }
    return found


def graph(
    edges: Sequence[Edge], n_layers: int, least: float = 0.0, selected: Head | None = None
) -> go.Figure:
    """Edges of at least `least` of the strongest; purple speaks for the right label, green against
    it; width = |relevance|.
    """
    at, drawn, steps = places(edges, n_layers), above(edges, least), iteration(edges)
    tall = max((sum(head[0] == layer for head in steps) for layer, _ in steps), default=1)
    fig = style.figure("", alt(edges, least), float(np.clip(72 * tall + 150, 290, 760)))
    whole = dict(zip([edge[:2] for edge in edges], shares(edges), strict=True))
    for sign, colour in ((1, style.DIVERGING[3][1]), (-1, style.DIVERGING[1][1])):
        for width in range(WIDTHS):
            some = [
                edge
                for edge in drawn
                if (edge[2] < 0) == (sign < 0)
                and min(int(whole[edge[:2]] * WIDTHS), WIDTHS - 1) == width
            ]
            if some:
                ends = [(at[source], at[target]) for source, target, _ in some]
                fig.add_trace(
                    go.Scatter(
                        x=[v for (a, _), (b, _) in ends for v in (a, b, None)],
                        y=[v for (_, a), (_, b) in ends for v in (a, b, None)],
                        mode="lines",
                        line={"color": colour, "width": THICK * (width + 0.5) / WIDTHS},
                        opacity=0.75,
                        hoverinfo="skip",
                        name="edges",
                        showlegend=False,
                    )
                )
    middle = [
        ((at[source][0] + at[target][0]) / 2, (at[source][1] + at[target][1]) / 2)
        for source, target, _ in drawn
    ]
    fig.add_trace(
        go.Scatter(
            x=[x for x, _ in middle],
            y=[y for _, y in middle],
            mode="markers",
            marker={"size": 14, "opacity": 0},
            name="relevance",
            showlegend=False,
            text=[
                f"{format.head_name(source)} → {called(target)}: {format.number(value)}"
                for source, target, value in drawn
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    _nodes(fig, at, steps, selected)
    _axes(fig, at, n_layers)
    return fig


def _nodes(fig: go.Figure, at: dict, steps: dict[Head, int], selected: Head | None):
    for step in sorted(set(steps.values())):
        heads = [head for head in sorted(steps) if steps[head] == step]
        ring = [
            style.COLOURS["target"] if head == selected else style.COLOURS["halo"] for head in heads
        ]
        fig.add_trace(
            go.Scatter(
                x=[at[head][0] for head in heads],
                y=[at[head][1] for head in heads],
                mode="markers+text",
                customdata=[list(head) for head in heads],
                text=[format.head_name(head) for head in heads],
                textposition="top center",
                textfont={"size": 11},
                name=f"iteration {step}",
                showlegend=True,
                marker={
                    "size": 17,
                    "symbol": STEPS[step % len(STEPS)],
                    "color": style.COLOURS["circuit"],
                    "line": {"color": ring, "width": 2.5},
                },
                selected={"marker": {"opacity": 1}},
                unselected={"marker": {"opacity": 1}},
                hovertemplate="<b>%{text}</b>, " + f"chosen in iteration {step}<extra></extra>",
            )
        )
    x, y = at[LOGITS]
    fig.add_trace(
        go.Scatter(
            x=[x],
            y=[y],
            mode="markers+text",
            text=["logits"],
            textposition="top center",
            name="logits",
            hoverinfo="skip",
            showlegend=False,
            marker={"size": 19, "symbol": "star", "color": style.COLOURS["reference"]},
        )
    )


def _axes(fig: go.Figure, at: dict, n_layers: int):
    layers = sorted({head[0] for head in at if head != LOGITS})
    heights = [y for _, y in at.values()]
    fig.update_xaxes(
        range=[min(layers, default=0) - 0.6, n_layers + 0.6],
        tickvals=[*layers, n_layers],
        ticktext=[*map(str, layers), "logits"],
        title_text="layer",
        showgrid=True,
    )
    fig.update_yaxes(range=[min(heights) - 0.8, max(heights) + 1.0], visible=False)
    fig.update_layout(
        showlegend=True,
        legend=style.LEGEND,
        uirevision="layered graph",
        margin={"l": 16, "r": 16, "t": 44, "b": 52},
    )


def alt(edges: Sequence[Edge], least: float) -> str:
    drawn, steps = sorted(above(edges, least), key=lambda edge: -abs(edge[2])), iteration(edges)
    words = [
        f"{format.head_name(source)} to {called(target)} {format.number(value)}"
        for source, target, value in drawn[:8]
    ]
    return (
        f"Discovered circuit as a graph: {len(steps)} heads of {len(set(steps.values()))}"
        f" iterations, {len(drawn)} of {len(edges)} edges drawn; strongest"
        f" {', '.join(words) or 'none'}."
    )


def table(edges: Sequence[Edge], least: float = 0.0) -> pd.DataFrame:
    """A row an edge that is drawn, by iteration and falling relevance."""
    steps = iteration(edges)
    rows = sorted(
        (
            (steps[source], format.head_name(source), called(target), value)
            for source, target, value in above(edges, least)
        ),
        key=lambda row: (row[0], -row[3]),
    )
    return pd.DataFrame(rows, columns=["iteration", "head", "target", "relevance"])
