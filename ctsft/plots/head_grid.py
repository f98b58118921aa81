"""The head grid: every head as a cell, its value as a colour, marks on top. Arrays in, figure out.

`ctsft.plots.head_map` and the other maps draw the library's objects with it. A heatmap cannot be
clicked in Streamlit, so it lies (without hover) under a transparent scatter of squares that carries
`customdata` [layer, head] and the hover text; `toggle` turns a click into the next set of heads.
Marks on top: `head_marks`; axes: `map_axes`. Each figure describes itself in one sentence for
screen readers: `style.alt(fig)`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ctsft.plots.head_marks import Marks, gap_of, key, strokes
from ctsft.plots.inputs import require_heads
from ctsft.plots.map_axes import columns_and_rows, is_sideways, map_axes
from ctsft.plots.style import COLOURS, DIVERGING, SEQUENTIAL, figure
from ctsft.utils.format import Head, head_name, hover_text, number

CLIP_PERCENTILE = 99  # of |values|: where a map's colours end


@dataclass(frozen=True)
class Scale:
    """The colours of a map: the unit they measure and where they end (None: `symmetric_limit` of
    the values shown), with `ends` a phrase that says so.
    """

    unit: str = "relevance (logits)"
    limit: float | None = None
    sequential: bool = False  # from 0 up instead of both ways
    ends: str = "shared scale"


def toggle(points: Iterable[Mapping], heads: Iterable[Head]) -> set[Head]:
    """The heads after a click: each head among `points` is added or removed once, however many
    points report it.
    """
    clicked = set()
    for point in points:
        pair = point.get("customdata")
        if pair is not None:
            # a typed array arrives as {"0": layer, "1": head}
            layer, head = pair.values() if isinstance(pair, Mapping) else pair
            clicked.add((int(layer), int(head)))
    return {(int(layer), int(head)) for layer, head in heads} ^ clicked


def symmetric_limit(*values: np.ndarray) -> float:
    """Where a shared colour scale ends: the 99th percentile of |values|, NaN left out; 1 when there
    is nothing but zeros.
    """
    sizes = np.abs(np.concatenate([np.ravel(np.asarray(array, float)) for array in values]))
    sizes = sizes[np.isfinite(sizes)]
    if sizes.size == 0 or sizes.max() == 0:
        return 1.0
    return float(np.percentile(sizes, CLIP_PERCENTILE) or sizes.max())


def cell_size(layers: int, heads: int) -> float:
    """Pixels of a cell's side; it depends on the model's shape alone, so a map is the same size on
    every page.
    """
    return float(np.clip(min(400 / heads, 640 / layers), 12, 46))


def hover_texts(
    values: np.ndarray,
    by_label: Mapping[str, np.ndarray],
    reasons: Mapping[Head, str] | None,
    kv_group: int = 1,
) -> list[list[str]]:
    """[layer][head] -> `L5.H3`, score, rank, mean per label, in or out of the circuit and why (not
    for `reasons` None), key/value group; all arrays [layer, head].
    """
    values = np.asarray(values, float)
    layers, heads = values.shape
    order = np.argsort(np.where(np.isfinite(values), -values, np.inf), axis=None, kind="stable")
    ranks = np.empty(values.size, int)
    ranks[order] = np.arange(1, values.size + 1)
    ranks = ranks.reshape(values.shape)
    means = {hover_text(label): np.asarray(mean, float) for label, mean in by_label.items()}

    def text(head: Head) -> str:
        lines = [
            f"<b>{head_name(head)}</b>  {number(values[head])}",
            f"rank {ranks[head]} of {values.size}",
        ]
        lines += [f"{label}: {number(mean[head])}" for label, mean in means.items()]
        if reasons is not None:
            lines.append(hover_text(reasons.get(head, "not in the circuit")))
        if kv_group > 1:
            first = head[1] // kv_group * kv_group
            last = min(first + kv_group, heads) - 1
            lines.append(f"shares keys and values: H{first} to H{last}")
        return "<br>".join(lines)

    return [[text((layer, head)) for head in range(heads)] for layer in range(layers)]


def head_grid(
    values: np.ndarray,  # [layer, head]; NaN: not computed
    marks: Marks = Marks(),
    *,
    title: str = "",
    scale: Scale = Scale(),
    hover: list[list[str]] | None = None,  # [layer][head]
    flip: bool = False,
) -> go.Figure:
    """Every head as a cell: x = head, y = layer, layer 0 on top (`flip`: at the bottom). A model
    with more layers than heads lies on its side: x = layer, layer 0 at the left (`flip`: right).

    Fixed size: show it with width="content", or `fill` it. UserError for marked heads that are not
    on the map.
    """
    values = np.asarray(values, float)
    layers, heads = values.shape
    selected = [marks.selected] if marks.selected else []
    require_heads({*marks.members, *marks.removed, *marks.hatched, *selected}, (layers, heads))
    columns, rows = columns_and_rows(layers, heads)
    size = cell_size(layers, heads)
    fig = figure(title, _map_alt(values, marks, title, scale), size * rows + 122)
    fig.add_traces(
        [
            _cells(values, scale, gap_of(size)),
            *strokes(marks, gap_of(size)),
            _click_layer(values, hover, size),
        ]
    )
    if is_sideways(layers, heads):
        fig.for_each_trace(_turn)
    top, bottom, left, right = 40, 82, 56, 128
    fig.update_layout(
        width=max(size * columns + left + right, 340),
        uirevision="head map",
        margin={
            "l": left,
            "r": max(right, 340 - left - size * columns),
            "t": top,
            "b": bottom,
            "autoexpand": False,
        },
        **map_axes(layers, heads, flip),
        annotations=[
            {  # paper y = 0 is the map's lower edge
                "text": key(marks),
                "x": 0,
                "xref": "paper",
                "xanchor": "left",
                "xshift": -44,
                "y": 0,
                "yref": "paper",
                "yanchor": "bottom",
                "yshift": 4 - bottom,
                "showarrow": False,
                "name": "key",
            }
        ],
    )
    return fig


def _turn(trace) -> None:
    """Exchange x and y of a trace of the map."""
    if trace.type == "heatmap":
        trace.z = [list(column) for column in zip(*trace.z, strict=True)]
    else:
        trace.x, trace.y = trace.y, trace.x


def _cells(values: np.ndarray, scale: Scale, gap: float) -> go.Heatmap:
    limit = symmetric_limit(values) if scale.limit is None else float(scale.limit)
    return go.Heatmap(
        # plain lists: a numpy array is sent packed, and a click would return it as an object
        z=values.tolist(),
        zmin=0 if scale.sequential else -limit,
        zmax=limit,
        hoverinfo="skip",
        xgap=gap,
        ygap=gap,
        colorscale=SEQUENTIAL if scale.sequential else DIVERGING,
        colorbar=_colourbar(values, limit, scale),
    )


def _click_layer(values: np.ndarray, hover: list[list[str]] | None, size: float) -> go.Scatter:
    """Transparent squares on top of the cells: they carry the heads and the hover texts."""
    layers, heads = values.shape
    cells = [(layer, head) for layer in range(layers) for head in range(heads)]
    if hover:
        texts = [hover[layer][head] for layer, head in cells]
    else:
        texts = [f"<b>{head_name(head)}</b>  {number(values[head])}" for head in cells]
    return go.Scatter(
        x=[head for _, head in cells],
        y=[layer for layer, _ in cells],
        customdata=[list(cell) for cell in cells],
        name="heads",
        text=texts,
        mode="markers",
        marker={"symbol": "square", "size": size - 1, "opacity": 0, "color": COLOURS["control"]},
        showlegend=False,
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        hovertemplate="%{text}<extra></extra>",
    )


def _colourbar(values: np.ndarray, limit: float, scale: Scale) -> dict:
    ends = number(limit)
    with np.errstate(invalid="ignore"):
        above, below = bool(np.any(values > limit)), bool(np.any(values < -limit))
    where = f"{CLIP_PERCENTILE}th percentile of |value|" if scale.limit is None else scale.ends
    ticks = {0.0: "0", limit: f"≥ {ends}" if above else ends}
    if not scale.sequential:
        ticks[-limit] = f"≤ −{ends}" if below else f"−{ends}"
    return {
        "title": {
            "text": f"{hover_text(scale.unit)}<br>clipped at {ends}:<br>{where}",
            "side": "right",
            "font": {"size": 11},
        },
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
        "thickness": 12,
        "outlinewidth": 0,
        "len": 1,
        "x": 1.0,
        "xpad": 12,
        "y": 0.5,
        "ypad": 0,
    }


def _map_alt(values: np.ndarray, marks: Marks, title: str, scale: Scale) -> str:
    layers, heads = values.shape
    parts = [
        f"{title or 'Head map'}: {scale.unit} of {values.size} heads ({layers} layers of {heads})"
    ]
    if np.isfinite(values).any():
        highest = np.unravel_index(np.nanargmax(values), values.shape)
        lowest = np.unravel_index(np.nanargmin(values), values.shape)
        parts.append(f", highest {head_name(highest)} {number(values[highest])}")
        parts.append(f", lowest {head_name(lowest)} {number(values[lowest])}")
    else:
        parts.append(", none computed yet")
    members = sorted(marks.members)
    if members:
        parts.append(f"; {len(members)} in the circuit: {', '.join(map(head_name, members[:12]))}")
    if len(members) > 12:
        parts.append(" and more")
    if marks.added:
        parts.append(f", {len(marks.added)} added by hand")
    if marks.removed:
        parts.append(f", {len(marks.removed)} removed by hand")
    if marks.hatched:
        named = ", ".join(map(head_name, sorted(marks.hatched)[:12]))
        parts.append(f"; hatched, as removal disagrees about them: {named}")
    parts.append(f"; {head_name(marks.selected)} selected." if marks.selected else ".")
    return "".join(parts)
