"""A discovered circuit as a layered graph: heads by layer, the logits at the end, an edge to each
target a head was chosen for.

Relevance for the logits is in logits, relevance for a later head is along the label direction of
what that head writes: two units. So widths, and the smallest edge that is drawn, are relative to
the strongest edge of the same kind.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.circuit.circuit import LOGITS, Circuit, Edge
from ctsft.plots import style
from ctsft.plots.inputs import require, require_heads
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name, number

WIDTH_CLASSES = 6  # one trace each
MAX_WIDTH = 7.0  # pixels of the strongest edge
LAYER_SHIFT = 0.14  # of a layer, up or down, in distances between heads

# marker of each iteration
ITERATION_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon")


def discovery_graph(
    circuit: Circuit, *, least: float = 0.0, selected: Head | None = None
) -> go.Figure:
    """A discovered circuit: which head was chosen for which target, in which iteration.

    `circuit`: what `ctsft.discover` returns. Width = |relevance|, in logits for edges to the
    logits; purple acts for the right label, green against it. `least`: edges below this share
    (0 to 1) of the strongest one of their kind are left out. `selected`: a head (layer, head) with
    a ring. UserError for a circuit that was not discovered, or another share.
    """
    require("discovery_graph", circuit, Circuit, "a Circuit (from ctsft.discover)")
    if not circuit.edges:
        raise UserError(
            "This circuit has no edges; discovery_graph draws a circuit that ctsft.discover found."
        )
    if not 0 <= least <= 1:
        raise UserError(f"least is {least}; give a share of the strongest edge, 0 to 1.")
    n_layers = circuit.model.get("n_layers", 1 + max(layer for layer, _ in circuit.heads))
    if selected:
        n_heads = circuit.model.get("n_heads", 1 + max(head for _, head in circuit.heads))
        require_heads([selected], (n_layers, n_heads))
    return edge_graph(circuit.edges, n_layers, least, selected)


def target_name(target: Head | str) -> str:
    return LOGITS if target == LOGITS else head_name(target)


def strongest_edges(edges: Sequence[Edge]) -> dict[bool, float]:
    """The largest |relevance| of edges to the logits (True) and of edges to heads (False)."""
    largest = {True: 0.0, False: 0.0}
    for _, target, relevance in edges:
        to_logits = target == LOGITS
        largest[to_logits] = max(largest[to_logits], abs(relevance))
    return largest


def edge_shares(edges: Sequence[Edge]) -> list[float]:
    """Each edge's |relevance| as a share of the strongest one of its kind."""
    largest = strongest_edges(edges)
    return [abs(relevance) / (largest[target == LOGITS] or 1.0) for _, target, relevance in edges]


def edges_above(edges: Sequence[Edge], least: float) -> list[Edge]:
    """The edges of at least a share `least` of the strongest one of their kind."""
    return [edge for edge, share in zip(edges, edge_shares(edges), strict=True) if share >= least]


def head_iterations(edges: Sequence[Edge]) -> dict[Head, int]:
    """The iteration in which each head was chosen: 0 for the logits, otherwise one more than that
    of its targets.
    """
    iterations = {source: 0 for source, target, _ in edges if target == LOGITS}
    later = [edge for edge in edges if edge[1] != LOGITS]
    while new := {
        source: iterations[target] + 1
        for source, target, _ in later
        if target in iterations and source not in iterations
    }:
        iterations |= new
    return iterations


def circuits_by_iteration(edges: Sequence[Edge]) -> list[frozenset[Head]]:
    """The circuit after each iteration."""
    iterations = head_iterations(edges)
    return [
        frozenset(head for head, iteration in iterations.items() if iteration <= depth)
        for depth in range(max(iterations.values(), default=-1) + 1)
    ]


def node_positions(edges: Sequence[Edge], n_layers: int) -> dict[Head | str, tuple[float, float]]:
    """x = layer, the logits one step behind the last; y spreads a layer's heads evenly around the
    middle, head 0 on top. Layers stand a little higher or lower than their neighbours, so that
    edges which pass a layer do not run through its heads.
    """
    by_layer: dict[int, list[Head]] = {}
    for head in sorted(head_iterations(edges)):
        by_layer.setdefault(head[0], []).append(head)
    tallest = max(map(len, by_layer.values()), default=1)
    positions: dict[Head | str, tuple[float, float]] = {LOGITS: (float(n_layers), 0.0)}
    for layer, heads in by_layer.items():
        step = min(1.0, tallest / len(heads))
        shift = LAYER_SHIFT * (2 * layer % 5 - 2) / 2
        for i, head in enumerate(heads):
            positions[head] = float(layer), step * ((len(heads) - 1) / 2 - i) + shift
    return positions


def edge_graph(
    edges: Sequence[Edge], n_layers: int, least: float = 0.0, selected: Head | None = None
) -> go.Figure:
    """Edges of at least a share `least` of the strongest; purple acts for the right label, green
    against it; width = |relevance|.
    """
    positions = node_positions(edges, n_layers)
    iterations = head_iterations(edges)
    by_layer: dict[int, int] = {}
    for layer, _ in iterations:
        by_layer[layer] = by_layer.get(layer, 0) + 1
    tallest = max(by_layer.values(), default=1)
    height = float(np.clip(72 * tallest + 150, 290, 760))
    fig = style.figure("", graph_alt(edges, least), height)
    fig.add_traces(_edge_lines(edges, least, positions))
    fig.add_trace(_edge_hover(edges_above(edges, least), positions))
    fig.add_traces(_nodes(positions, iterations, selected))
    layers = sorted(by_layer)
    heights = [y for _, y in positions.values()]
    fig.update_xaxes(
        range=[min(layers, default=0) - 0.6, n_layers + 0.6],
        tickvals=[*layers, n_layers],
        ticktext=[*map(str, layers), "logits"],
        title_text="layer",
        showgrid=True,
    )
    fig.update_yaxes(range=[min(heights) - 0.8, max(heights) + 1.0], visible=False)
    return fig.update_layout(
        showlegend=True,
        legend=style.LEGEND,
        uirevision="layered graph",
        margin={"l": 16, "r": 16, "t": 44, "b": 52},
    )


def _edge_lines(edges: Sequence[Edge], least: float, positions: dict) -> list[go.Scatter]:
    """A trace for each sign and class of width."""
    classes: dict[tuple[bool, int], list[tuple]] = {}
    for (source, target, relevance), share in zip(edges, edge_shares(edges), strict=True):
        if share >= least:
            width = min(int(share * WIDTH_CLASSES), WIDTH_CLASSES - 1)
            ends = positions[source], positions[target]
            classes.setdefault((relevance < 0, width), []).append(ends)
    traces = []
    for (is_negative, width), ends in sorted(classes.items()):
        colour = style.DIVERGING[1 if is_negative else 3][1]
        traces.append(
            go.Scatter(
                x=[x for start, end in ends for x in (start[0], end[0], None)],
                y=[y for start, end in ends for y in (start[1], end[1], None)],
                mode="lines",
                line={"color": colour, "width": MAX_WIDTH * (width + 0.5) / WIDTH_CLASSES},
                opacity=0.75,
                hoverinfo="skip",
                name="edges",
                showlegend=False,
            )
        )
    return traces


def _edge_hover(edges: Sequence[Edge], positions: dict) -> go.Scatter:
    """Transparent points in the middle of the edges, which carry their hover texts."""
    ends = [(positions[source], positions[target]) for source, target, _ in edges]
    return go.Scatter(
        x=[(start[0] + end[0]) / 2 for start, end in ends],
        y=[(start[1] + end[1]) / 2 for start, end in ends],
        mode="markers",
        marker={"size": 14, "opacity": 0},
        name="relevance",
        showlegend=False,
        text=[
            f"{head_name(source)} → {target_name(target)}: {number(relevance)}"
            for source, target, relevance in edges
        ],
        hovertemplate="%{text}<extra></extra>",
    )


def _nodes(positions: dict, iterations: dict[Head, int], selected: Head | None) -> list[go.Scatter]:
    """A trace for the heads of each iteration, then the logits."""
    traces = []
    for iteration in sorted(set(iterations.values())):
        heads = [head for head in sorted(iterations) if iterations[head] == iteration]
        rings = ["target" if head == selected else "halo" for head in heads]
        traces.append(
            go.Scatter(
                x=[positions[head][0] for head in heads],
                y=[positions[head][1] for head in heads],
                mode="markers+text",
                customdata=[list(head) for head in heads],
                text=[head_name(head) for head in heads],
                textposition="top center",
                textfont={"size": 11},
                name=f"iteration {iteration}",
                showlegend=True,
                marker={
                    "size": 17,
                    "symbol": ITERATION_SYMBOLS[iteration % len(ITERATION_SYMBOLS)],
                    "color": style.COLOURS["circuit"],
                    "line": {"color": [style.COLOURS[ring] for ring in rings], "width": 2.5},
                },
                hovertemplate=f"<b>%{{text}}</b>, chosen in iteration {iteration}<extra></extra>",
            )
        )
    x, y = positions[LOGITS]
    traces.append(
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
    return traces


def graph_alt(edges: Sequence[Edge], least: float) -> str:
    iterations = head_iterations(edges)
    drawn = sorted(edges_above(edges, least), key=lambda edge: -abs(edge[2]))
    strongest = [
        f"{head_name(source)} to {target_name(target)} {number(relevance)}"
        for source, target, relevance in drawn[:8]
    ]
    return (
        f"Discovered circuit as a graph: {len(iterations)} heads of"
        f" {len(set(iterations.values()))} iterations, {len(drawn)} of {len(edges)} edges drawn;"
        f" strongest {', '.join(strongest) or 'none'}."
    )


def edge_table(edges: Sequence[Edge], least: float = 0.0) -> pd.DataFrame:
    """A row an edge that is drawn, by iteration and falling relevance."""
    iterations = head_iterations(edges)
    rows = [
        (iterations[source], head_name(source), target_name(target), relevance)
        for source, target, relevance in edges_above(edges, least)
    ]
    rows.sort(key=lambda row: (row[0], -row[3]))
    return pd.DataFrame(rows, columns=["iteration", "head", "target", "relevance"])
