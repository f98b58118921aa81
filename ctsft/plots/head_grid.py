"""Head maps, and the look that all charts share: arrays in, Plotly figures out; no streamlit, no
torch.

One head map serves every page. A heatmap cannot be clicked in Streamlit, so it lies (without hover)
under a transparent scatter of squares that carries `customdata` [layer, head] and the hover text;
`toggle` turns a click into the next set of heads. Marks are strokes in data coordinates, dark with
a light halo, so that they fit the cells at any size or zoom and read on every cell colour. Each
figure describes itself in one sentence for screen readers: `alt(fig)`. `bars.py` draws scores,
`curves.py` runs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.plots.style import COLOURS, DIVERGING, SEQUENTIAL, figure
from ctsft.utils.format import head_name, hover_text, number

STRENGTH = 99  # percentile of |values| at which a map's colours end


@dataclass(frozen=True)
class Marks:
    """What is drawn on top of the colours. `circuit` is the set in force, heads added by hand
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
    """The heads after a click: each head among `points` changes sides once, however many points
    report it.
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
    flat = np.abs(np.concatenate([np.ravel(np.asarray(v, float)) for v in values]))
    flat = flat[np.isfinite(flat)]
    if flat.size == 0 or flat.max() == 0:
        return 1.0
    return float(np.percentile(flat, STRENGTH) or flat.max())


def cell_size(layers: int, heads: int) -> float:
    """Pixels of a cell's side; it depends on the model's shape alone, so a map is the same size on
    every page.
    """
    return float(np.clip(min(400 / heads, 640 / layers), 12, 46))


def hover_texts(
    values: np.ndarray,
    by_label: Mapping[str, np.ndarray],
    why: Mapping[Head, str],
    kv_group: int = 1,
) -> list[list[str]]:
    """[layer][head] -> `L5.H3`, score, rank, mean per label, in or out and why, KV group; all
    arrays [layer, head].
    """
    values = np.asarray(values, float)
    order = np.argsort(np.where(np.isfinite(values), -values, np.inf), axis=None, kind="stable")
    rank = np.empty(values.size, int)
    rank[order] = np.arange(1, values.size + 1)
    own, places, averages = (
        values.tolist(),
        rank.reshape(values.shape).tolist(),
        [
            (hover_text(label), np.asarray(means, float).tolist())
            for label, means in by_label.items()
        ],
    )

    def text(layer: int, head: int) -> str:
        at = (layer, head)
        lines = [
            f"<b>{head_name(at)}</b>  {number(own[layer][head])}",
            f"rank {places[layer][head]} of {values.size}",
        ]
        lines += [f"{label}: {number(means[layer][head])}" for label, means in averages]
        lines.append(hover_text(why.get(at, "not in the circuit")))
        if kv_group > 1:
            first = head // kv_group * kv_group
            lines.append(
                f"shares keys and values: H{first} to H{min(first + kv_group, values.shape[1]) - 1}"
            )
        return "<br>".join(lines)

    return [
        [text(layer, head) for head in range(values.shape[1])] for layer in range(values.shape[0])
    ]


def head_map(
    values: np.ndarray,  # [layer, head]; NaN: not computed
    marks: Marks = Marks(),
    *,
    title: str = "",
    scale: Scale = Scale(),
    hover: list[list[str]] | None = None,  # [layer][head]
    flip: bool = False,
) -> go.Figure:
    """Every head as a cell: x = head, y = layer, layer 0 on top (`flip`: at the bottom). Fixed
    size: show it with width="content".
    """
    values = np.asarray(values, float)
    layers, heads = values.shape
    beyond = [
        head_name(at)
        for at in sorted({*marks.members, *marks.removed, marks.selected or (0, 0)})
        if not (0 <= at[0] < layers and 0 <= at[1] < heads)
    ]
    if beyond:
        raise ValueError(
            f"{', '.join(beyond)} is not on this map of {layers} layers x {heads} heads; choose"
            " heads of the same model"
        )
    limit = symmetric_limit(values) if scale.limit is None else float(scale.limit)
    size = cell_size(layers, heads)
    fig = figure(title, _map_alt(values, marks, title, scale), size * layers + 122)
    top, bottom, left, right = 40, 82, 56, 128
    cells = [(layer, head) for layer in range(layers) for head in range(heads)]
    fig.add_traces(
        [
            go.Heatmap(
                z=values.tolist(),
                zmin=0 if scale.sequential else -limit,
                zmax=limit,
                hoverinfo="skip",
                xgap=1,
                ygap=1,
                colorscale=SEQUENTIAL if scale.sequential else DIVERGING,
                colorbar=_colourbar(values, limit, scale),
                # plain lists: a numpy array is sent packed, and a click would return it as an
                # object
            ),
            *_strokes(marks),
            go.Scatter(
                x=[head for _, head in cells],
                y=[layer for layer, _ in cells],
                customdata=[list(at) for at in cells],
                name="heads",
                text=[
                    hover[at[0]][at[1]]
                    if hover
                    else f"<b>{head_name(at)}</b>  {number(values[at])}"
                    for at in cells
                ],
                mode="markers",
                marker={
                    "symbol": "square",
                    "size": size - 1,
                    "opacity": 0,
                    "color": COLOURS["control"],
                },
                showlegend=False,
                selected={"marker": {"opacity": 0}},
                unselected={"marker": {"opacity": 0}},
                hovertemplate="%{text}<extra></extra>",
            ),
        ]
    )
    across, down = [-0.5, heads - 0.5], [-0.5, layers - 0.5]
    shared = {"showgrid": False, "ticks": "", "constrain": "domain"}
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
        xaxis={
            "range": across,
            "tickvals": _ticks(heads),
            "title": {"text": "head"},
            "constraintoward": "left",
            **shared,
        },
        yaxis={
            "range": down if flip else down[::-1],
            "tickvals": _ticks(layers),
            "title": {"text": "layer"},
            "scaleanchor": "x",
            "constraintoward": "top",
            **shared,
        },
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


def means_map(
    departure: np.ndarray,
    marks: Marks = Marks(),
    *,
    title: str = "",
    unit: str = "norm",
    flip: bool = False,
) -> go.Figure:
    """[layer, head] sizes from 0 up: of the balanced means, or of one label's departure from
    them.
    """
    return head_map(departure, marks, title=title, scale=Scale(unit, sequential=True), flip=flip)


def _ticks(count: int) -> list[int]:
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64) if count / s <= 16 or s == 64)
    return list(range(0, count, step))


def _colourbar(values: np.ndarray, limit: float, scale: Scale) -> dict:
    ends = number(limit)
    with np.errstate(invalid="ignore"):
        above, below = bool(np.any(values > limit)), bool(np.any(values < -limit))
    where = f"{STRENGTH}th percentile of |value|" if scale.limit is None else "shared scale"
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
    text = (
        f"{title or 'Head map'}: {scale.unit} of {values.size} heads ({values.shape[0]} layers of"
        f" {values.shape[1]})"
    )
    if np.isfinite(values).any():
        best, worst = (
            np.unravel_index(pick(values), values.shape) for pick in (np.nanargmax, np.nanargmin)
        )
        text += (
            f", highest {head_name(best)} {number(values[best])}, lowest {head_name(worst)}"
            f" {number(values[worst])}"
        )
    else:
        text += ", none computed yet"
    chosen = sorted(marks.members)
    if chosen:
        text += f"; {len(chosen)} in the circuit: {', '.join(map(head_name, chosen[:12]))}" + (
            " and more" if len(chosen) > 12 else ""
        )
    text += f", {len(marks.added)} added by hand" if marks.added else ""
    text += f", {len(marks.removed)} removed by hand" if marks.removed else ""
    return text + (f"; {head_name(marks.selected)} selected." if marks.selected else ".")


Path = tuple[list, list]  # x, y of one pen stroke


def _square(at: Head, half: float = 0.45) -> Path:
    return [at[1] + half * s for s in (-1, 1, 1, -1, -1, 1)], [
        at[0] + half * s for s in (-1, -1, 1, 1, -1, -1)
    ]


def _plus(at: Head, half: float = 0.17) -> list[Path]:
    return [
        ([at[1] - half, at[1] + half], [at[0]] * 2),
        ([at[1]] * 2, [at[0] - half, at[0] + half]),
    ]


def _cross(at: Head, half: float = 0.2) -> list[Path]:
    return [([at[1] - half, at[1] + half], [at[0] - half * s, at[0] + half * s]) for s in (1, -1)]


def _ring(at: Head, radius: float = 0.31) -> Path:
    turn = np.linspace(0, 2 * np.pi, 33)
    return (at[1] + radius * np.cos(turn)).tolist(), (at[0] + radius * np.sin(turn)).tolist()


def _strokes(marks: Marks) -> list[go.Scatter]:
    """All marks of a kind as one line with gaps, drawn twice: the wide one is the halo."""
    kinds = (
        ("outline", 2, [_square(at) for at in sorted(marks.members)]),
        ("added", 2, [p for at in sorted(marks.added) for p in _plus(at)]),
        ("removed", 2, [p for at in sorted(marks.removed) for p in _cross(at)]),
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
