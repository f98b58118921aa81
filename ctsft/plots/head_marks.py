"""What is drawn on top of a head map's colours: outlines of the circuit's heads, marks of the edits
by hand, a ring, hatching.

They are strokes in data coordinates, dark with a light halo, so that they fit the cells at any size
or zoom and read on every cell colour; outlines lie in the gaps between the cells and cover no
colour.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ctsft.plots.style import COLOURS
from ctsft.utils.format import Head

GAP = 4  # pixels between cells: outlines lie in it
SMALL_CELL = 20  # pixels: below, the gap is narrower
# half the side of an outline, and half the length of the marks, in cells; also in the browser
SHAPES = {"outline": 0.478, "added": 0.17, "removed": 0.2}


@dataclass(frozen=True)
class Marks:
    """What is drawn on top of the colours. `circuit`: the current set of heads, those added by hand
    included.
    """

    circuit: frozenset[Head] = frozenset()
    added: frozenset[Head] = frozenset()  # by hand: outline and a plus
    removed: frozenset[Head] = frozenset()  # by hand: a cross, no outline
    selected: Head | None = None  # a ring
    hatched: frozenset[Head] = frozenset()  # another method disagrees about them
    # traces even for marks that no head has, for a page that changes them in the browser
    live: bool = False

    @property
    def members(self) -> frozenset[Head]:
        return frozenset(self.circuit) - frozenset(self.removed) | frozenset(self.added)


def gap_of(size: float) -> float:
    """Pixels between cells whose side is `size` pixels."""
    return GAP if size >= SMALL_CELL else GAP - 1


def stroke_widths(gap: float) -> dict[str, float]:
    """Pixels of an outline's two pens: both fit into the gap, so that no colour is covered."""
    return {"halo": gap, "ink": gap / 2}


Path = tuple[list, list]  # x, y of one pen stroke


def _square(head: Head) -> Path:
    y, x = head
    half = SHAPES["outline"]
    xs = [x + half * side for side in (-1, 1, 1, -1, -1, 1)]
    ys = [y + half * side for side in (-1, -1, 1, 1, -1, -1)]
    return xs, ys


def _plus(head: Head) -> list[Path]:
    y, x = head
    half = SHAPES["added"]
    return [([x - half, x + half], [y, y]), ([x, x], [y - half, y + half])]


def _cross(head: Head) -> list[Path]:
    y, x = head
    half = SHAPES["removed"]
    return [([x - half, x + half], [y - half * side, y + half * side]) for side in (1, -1)]


def _hatch(head: Head) -> list[Path]:
    """Diagonals from edge to edge of a cell."""
    y, x = head
    return [
        ([x + left, x + right], [y + low, y + high])
        for left, right, low, high in (
            (-0.42, 0.0, 0.0, -0.42),
            (-0.42, 0.42, 0.42, -0.42),
            (0.0, 0.42, 0.42, 0.0),
        )
    ]


def _ring(head: Head, radius: float = 0.31) -> Path:
    y, x = head
    angles = np.linspace(0, 2 * np.pi, 33)
    return (x + radius * np.cos(angles)).tolist(), (y + radius * np.sin(angles)).tolist()


def strokes(marks: Marks, gap: float) -> list[go.Scatter]:
    """All marks of a kind as one line with gaps, drawn twice: the wide one is the halo."""
    outlines = [_square(head) for head in sorted(marks.members)]
    hatches = [path for head in sorted(marks.hatched) for path in _hatch(head)]
    kinds = (
        ("hatched", HATCH_PENS, hatches),
        ("added", MARK_PENS, [path for head in sorted(marks.added) for path in _plus(head)]),
        ("removed", MARK_PENS, [path for head in sorted(marks.removed) for path in _cross(head)]),
        ("outline", stroke_widths(gap), outlines),
    )
    traces = [
        trace
        for kind, widths, paths in kinds
        if paths or (marks.live and kind != "hatched")
        for trace in _stroke(paths, kind, widths)
    ]
    if marks.selected:
        traces += _stroke([_ring(marks.selected)], "selected", RING_PENS)
    return traces


HATCH_PENS = {"halo": 2.4, "ink": 1.2}  # pixels
MARK_PENS = {"halo": 4.5, "ink": 2}
RING_PENS = {"ink": 5, "halo": 2.5}


def _stroke(paths: list[Path], kind: str, widths: Mapping[str, float]) -> list[go.Scatter]:
    """`widths`: pixels of each pen, the lower one first."""
    x = [v for path in paths for v in (*path[0], None)] or [None]
    y = [v for path in paths for v in (*path[1], None)] or [None]
    return [
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": COLOURS[pen], "width": width},
            hoverinfo="skip",
            showlegend=False,
            name=kind,
            meta=pen,
        )
        for pen, width in widths.items()
    ]


def key(marks: Marks) -> str:
    """What the marks that occur mean: a line of text, so that it takes the theme's colour and never
    moves the map.
    """
    rule = marks.members - marks.added
    keys = (
        ("□ in circuit", rule),
        ("⊞ added", marks.added),
        ("✕ removed", marks.removed),
        ("◎ selected", marks.selected),
        ("▨ removal disagrees", marks.hatched),
    )
    return "\u2003".join(text for text, present in keys if present)
