"""Names beside marks. Each stands where it covers no other name, no mark and no line at zero, as
near to its mark as that allows; a thin line leads to a mark that is further away.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import plotly.graph_objects as go

# pixels, of a presentation on a small screen (1280 x 800) before it is enlarged; on a larger one
# type and figure grow alike
WIDTH, HEIGHT = 700, 330
CHARACTER, LINE = 6.6, 16
MARK, SMALL = 9, 5  # half the side of a mark with its edge, and of a seed's
NEAR, FAR = 12, 26  # between a mark and its name; FAR with a line between them
STEPS = (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 8, -8, 10, -10)
STEP = 10  # pixels
PASSES = 4  # each name is placed again, now that the others have a place
OUTSIDE, ON_NAME, ON_MARK = 100.0, 10.0, 3.0  # what a pixel costs against one of distance

Limits = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """left, top, right, bottom: pixels of the figure, downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The area that both cover, in pixels."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)

    def outside(self) -> float:
        """The pixels by which it leaves the figure."""
        across = max(-self.left, 0.0) + max(self.right - WIDTH, 0.0)
        return across + max(-self.top, 0.0) + max(self.bottom - HEIGHT, 0.0)


@dataclass(frozen=True)
class Label:
    """A name at the mark (x, y), in the units of the axes."""

    x: float
    y: float
    text: str
    colour: str


@dataclass(frozen=True)
class Spot:
    """Where a name may stand: its anchor, pixels from its mark (right, down), and its box."""

    anchor: str
    right: float
    down: float
    box: Box

    @property
    def distance(self) -> float:
        return abs(self.right) + abs(self.down)

    @property
    def is_far(self) -> bool:
        return abs(self.right) == FAR


def add_labels(
    fig: go.Figure,
    labels: Sequence[Label],
    small: Sequence[tuple[float, float]] = (),
    taken: Sequence[Box] = (),
) -> None:
    """`fig` has the ranges of both axes. small: where further, small marks are, in the units of the
    axes; taken: boxes of other texts.
    """
    marks = [place(fig, label.x, label.y) for label in labels]
    boxes = [around(at, MARK) for at in marks]
    further = [*lines_at_zero(fig), *(around(place(fig, *at), SMALL) for at in small)]
    options = [list(spots(*at, label.text)) for at, label in zip(marks, labels, strict=True)]
    chosen = [some[0] for some in options]
    for _, i in product(range(PASSES), range(len(labels))):
        names = [*taken, *(spot.box for j, spot in enumerate(chosen) if j != i)]
        others = [*further, *(box for j, box in enumerate(boxes) if j != i)]
        chosen[i] = min(options[i], key=lambda spot: cost(spot, names, others))  # noqa: B023
    for label, spot in zip(labels, chosen, strict=True):
        fig.add_annotation(annotation(label, spot))


def place(fig: go.Figure, x: float, y: float) -> tuple[float, float]:
    """The pixels of a point."""
    (left, right), (bottom, top) = fig.layout.xaxis.range, fig.layout.yaxis.range
    return (x - left) / (right - left) * WIDTH, (top - y) / (top - bottom) * HEIGHT


def around(at: tuple[float, float], half: float) -> Box:
    x, y = at
    return Box(x - half, y - half, x + half, y + half)


def lines_at_zero(fig: go.Figure) -> list[Box]:
    x, y = place(fig, 0, 0)
    return [Box(x - 1, 0, x + 1, HEIGHT), Box(0, y - 1, WIDTH, y + 1)]


def at_top(text: str, right: float) -> Box:
    """The box of a text at the upper edge that ends at `right` pixels."""
    return Box(right - CHARACTER * len(text), 0, right, LINE)


def spots(x: float, y: float, text: str) -> Iterator[Spot]:
    """At the right and at the left of a mark, level with it or above and below."""
    width = CHARACTER * len(text)
    for gap, anchor, step in product((NEAR, FAR), ("left", "right"), STEPS):
        if gap == NEAR and abs(step) > 2:
            continue  # a name that stands higher or lower needs a line to its mark
        right, down = gap if anchor == "left" else -gap, step * STEP
        left = x + right - (0 if anchor == "left" else width)
        middle = y + down
        box = Box(left, middle - LINE / 2, left + width, middle + LINE / 2)
        yield Spot(anchor, right, down, box)


def cost(spot: Spot, names: Sequence[Box], marks: Sequence[Box]) -> float:
    covered = ON_NAME * sum(spot.box.overlap(name) for name in names)
    covered += ON_MARK * sum(spot.box.overlap(mark) for mark in marks)
    return OUTSIDE * spot.box.outside() + covered + spot.distance


def annotation(label: Label, spot: Spot) -> dict:
    """Plotly's annotation."""
    look = {
        "x": label.x,
        "y": label.y,
        "text": label.text,
        "align": "left",
        "font": {"color": label.colour},
        "xanchor": spot.anchor,
        "yanchor": "middle",
    }
    if not spot.is_far:
        return look | {"showarrow": False, "xshift": spot.right, "yshift": -spot.down}
    line = {"arrowhead": 0, "arrowwidth": 1, "arrowcolor": label.colour, "standoff": MARK}
    return look | {"showarrow": True, "ax": spot.right, "ay": spot.down, **line}
