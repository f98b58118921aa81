"""The head grid: every head as a cell, its value as a colour, marks on top. Arrays in, figure out.

`ctsft.plots.head_map` and the other maps draw the library's objects with it. A heatmap cannot be
clicked in Streamlit, so it lies (without hover) under a transparent scatter of squares that carries
`customdata` [layer, head] and the hover text; `toggle` turns a click into the next set of heads.
Marks are strokes in data coordinates, dark with a light halo, so that they fit the cells at any
size or zoom and read on every cell colour. Each figure describes itself in one sentence for screen
readers: `style.alt(fig)`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.plots.inputs import require_heads
from ctsft.plots.style import COLOURS, DIVERGING, SEQUENTIAL, figure
from ctsft.utils.format import head_name, hover_text, number

CLIP_PERCENTILE = 99  # of |values|: where a map's colours end
AXIS = {"showgrid": False, "ticks": "", "constrain": "domain"}

AXIS = {"showgrid": False, "ticks": "", "constrain": "domain"}


@dataclass(frozen=True)
class Marks:
    """What is drawn on top of the colours. `circuit`: the current set of heads, those added by hand
    included.
    """

    circuit: frozenset[Head] = frozenset()
    added: frozenset[Head] = frozenset()  # by hand: outline and a plus
    removed: frozenset[Head] = frozenset()  # by hand: a cross, no outline
    selected: Head | None = None  # a ring

    @property
    def members(self) -> frozenset[Head]:
        return frozenset(self.circuit) - frozenset(self.removed) | frozenset(self.added)


@dataclass(frozen=True)
class Scale:
    """The colours of a map: the unit they measure and where they end (None: `symmetric_limit` of
    the values shown).
    """

    unit: str = "relevance (logits)"
    limit: float | None = None
    sequential: bool = False  # from 0 up instead of both ways


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
    """Every head as a cell: x = head, y = layer, layer 0 on top (`flip`: at the bottom). Fixed
    size: show it with width="content". UserError for marked heads that are not on the map.
    """
    values = np.asarray(values, float)
    layers, heads = values.shape
    selected = [marks.selected] if marks.selected else []
    require_heads({*marks.members, *marks.removed, *selected}, (layers, heads))
    size = cell_size(layers, heads)
    fig = figure(title, _map_alt(values, marks, title, scale), size * layers + 122)
    fig.add_traces(
        [
            _cells(values, scale),
            *_strokes(marks),
            _click_layer(values, hover, size),
        ]
    )
    top, bottom, left, right = 40, 82, 56, 128
    fig.update_layout(
        width=max(size * heads + left + right, 340),
        uirevision="head map",
        margin={
            "l": left,
            "r": max(right, 340 - left - size * heads),
            "t": top,
            "b": bottom,
            "autoexpand": False,
        },
        xaxis=head_axis(heads),
        yaxis=layer_axis(layers, flip),
        annotations=[
            {  # paper y = 0 is the map's lower edge
                "text": _key(marks),
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


def head_axis(heads: int) -> dict:
    """Plotly's settings of the x axis of a map with `heads` heads a layer."""
    return {
        "range": [-0.5, heads - 0.5],
        "tickvals": _ticks(heads),
        "title": {"text": "head"},
        "constraintoward": "left",
        **AXIS,
    }


def layer_axis(layers: int, flip: bool = False) -> dict:
    """Plotly's settings of the y axis: layer 0 on top, or at the bottom for `flip`."""
    ends = [-0.5, layers - 0.5]
    return {
        "range": ends if flip else ends[::-1],
        "tickvals": _ticks(layers),
        "title": {"text": "layer"},
        "scaleanchor": "x",
        "constraintoward": "top",
        **AXIS,
    }


def _cells(values: np.ndarray, scale: Scale) -> go.Heatmap:
    limit = symmetric_limit(values) if scale.limit is None else float(scale.limit)
    return go.Heatmap(
        # plain lists: a numpy array is sent packed, and a click would return it as an object
        z=values.tolist(),
        zmin=0 if scale.sequential else -limit,
        zmax=limit,
        hoverinfo="skip",
        xgap=1,
        ygap=1,
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


def _ticks(count: int) -> list[int]:
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64) if count / s <= 16 or s == 64)
    return list(range(0, count, step))


def _colourbar(values: np.ndarray, limit: float, scale: Scale) -> dict:
    ends = number(limit)
    with np.errstate(invalid="ignore"):
        above, below = bool(np.any(values > limit)), bool(np.any(values < -limit))
    where = f"{CLIP_PERCENTILE}th percentile of |value|" if scale.limit is None else "shared scale"
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
    parts.append(f"; {head_name(marks.selected)} selected." if marks.selected else ".")
    return "".join(parts)


Path = tuple[list, list]  # x, y of one pen stroke


def _square(head: Head, half: float = 0.45) -> Path:
    y, x = head
    xs = [x + half * side for side in (-1, 1, 1, -1, -1, 1)]
    ys = [y + half * side for side in (-1, -1, 1, 1, -1, -1)]
    return xs, ys


def _plus(head: Head, half: float = 0.17) -> list[Path]:
    y, x = head
    return [([x - half, x + half], [y, y]), ([x, x], [y - half, y + half])]


def _cross(head: Head, half: float = 0.2) -> list[Path]:
    y, x = head
    return [([x - half, x + half], [y - half * side, y + half * side]) for side in (1, -1)]


def _ring(head: Head, radius: float = 0.31) -> Path:
    y, x = head
    angles = np.linspace(0, 2 * np.pi, 33)
    return (x + radius * np.cos(angles)).tolist(), (y + radius * np.sin(angles)).tolist()


def _strokes(marks: Marks) -> list[go.Scatter]:
    """All marks of a kind as one line with gaps, drawn twice: the wide one is the halo."""
    kinds = (
        ("outline", 2, [_square(head) for head in sorted(marks.members)]),
        ("added", 2, [path for head in sorted(marks.added) for path in _plus(head)]),
        ("removed", 2, [path for head in sorted(marks.removed) for path in _cross(head)]),
        ("selected", 2.5, [_ring(marks.selected)] if marks.selected else []),
    )
    return [trace for kind, width, paths in kinds if paths for trace in _stroke(paths, kind, width)]


def _stroke(paths: list[Path], kind: str, width: float) -> list[go.Scatter]:
    x = [v for path in paths for v in (*path[0], None)]
    y = [v for path in paths for v in (*path[1], None)]
    pens = [("halo", width + 2.5), ("ink", width)]
    colours = ("ink", "halo") if kind == "selected" else ("halo", "ink")
    return [
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": COLOURS[colour], "width": thick},
            hoverinfo="skip",
            showlegend=False,
            name=kind,
            meta=pen,
        )
        for (pen, thick), colour in zip(pens, colours, strict=True)
    ]


def _key(marks: Marks) -> str:
    """What the marks that occur mean: a line of text, so that it takes the theme's colour and never
    moves the map.
    """
    rule = marks.members - marks.added
    keys = (
        ("□ in circuit", rule),
        ("⊞ added", marks.added),
        ("✕ removed", marks.removed),
        ("◎ selected", marks.selected),
    )
    return "\u2003".join(text for text, present in keys if present)
