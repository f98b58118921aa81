"""Names beside marks: none covers another name or another's mark; a name that had to move away has
a line to its mark.
"""

from itertools import combinations

import plotly.graph_objects as go
import pytest

from ctsft.plots.mark_labels import (
    CHARACTER,
    HEIGHT,
    LINE,
    WIDTH,
    Box,
    Label,
    add_labels,
    at_top,
    lines_at_zero,
    place,
)
from ctsft.plots.run_frontier import run_frontier

NAMES = ["Circuit", "Everything", "Near zero", "Random heads", "Norms", "Everything, source held"]
# where the marks stand, in shares of the figure
OTHER = at_top("better at both", WIDTH)
CLOSE = [(0.48 + 0.01 * (i % 3), 0.5 + 0.012 * (i // 3)) for i in range(6)]
RIGHT_EDGE = [(0.97, 0.1 + 0.03 * i) for i in range(6)]
SAME = [(0.5, 0.5)] * 6
FAR_APART = [(0.1 + 0.15 * i, 0.1 + 0.15 * i) for i in range(6)]


def drawn(places, names=NAMES) -> tuple[go.Figure, list[Label]]:
    fig = go.Figure()
    fig.update_xaxes(range=[-1, 1]).update_yaxes(range=[0, 10])
    labels = [
        Label(2 * x - 1, 10 * y, name, "#123456")
        for (x, y), name in zip(places, names, strict=True)
    ]
    add_labels(fig, labels, taken=[OTHER])
    return fig, labels


def box(fig, note, label) -> Box:
    x, y = place(fig, label.x, label.y)
    right, down = (note.ax, note.ay) if note.showarrow else (note.xshift, -note.yshift)
    width = CHARACTER * len(note.text)
    left = x + right - (0 if note.xanchor == "left" else width)
    return Box(left, y + down - LINE / 2, left + width, y + down + LINE / 2)


@pytest.mark.parametrize("places", [CLOSE, RIGHT_EDGE, SAME, FAR_APART])
def test_no_name_covers_another_and_none_is_cut_off(places):
    fig, labels = drawn(places)
    notes = fig.layout.annotations
    boxes = [box(fig, note, label) for note, label in zip(notes, labels, strict=True)]
    assert [note.text for note in notes] == NAMES
    assert [one.overlap(other) for one, other in combinations(boxes, 2)] == [0] * 15
    assert all(one.overlap(OTHER) == 0 for one in boxes)
    assert [one.outside() for one in boxes] == [0] * 6


def test_the_measure_sees_an_overlap():
    one = Box(0, 0, 10, 10)
    assert one.overlap(Box(5, 5, 20, 20)) == 25 and one.overlap(Box(10, 0, 20, 10)) == 0
    assert Box(-3, 0, WIDTH + 4, HEIGHT + 5).outside() == 12


def test_only_a_name_that_had_to_move_away_has_a_line_to_its_mark():
    assert not any(note.showarrow for note in drawn(FAR_APART)[0].layout.annotations)
    crowd = drawn(SAME[:1] * 9, list("abcdefghi"))[0].layout.annotations
    led = [note for note in crowd if note.showarrow]
    assert 0 < len(led) < 9 and all(note.arrowcolor == "#123456" for note in led)


def test_a_name_leaves_seeds_and_the_lines_at_zero_alone():
    label = Label(-0.02, 5.0, "Circuit", "#123456")
    fig = go.Figure()
    fig.update_xaxes(range=[-1, 1]).update_yaxes(range=[0, 10])
    seeds = [(-0.15, 5.0), (-0.15, 5.3), (-0.15, 5.6)]  # at its left
    add_labels(fig, [label], seeds)
    stands = box(fig, fig.layout.annotations[0], label)
    zero, _ = lines_at_zero(fig)
    assert stands.overlap(zero) == 0
    assert all(
        not stands.overlap(Box(x, y, x + 1, y + 1)) for x, y in (place(fig, *at) for at in seeds)
    )


@pytest.mark.parametrize(("source", "anchor"), [(0.02, 0), (0.5, 0.6)])
def test_the_better_area_is_named_beside_it_where_it_is_narrow(source, anchor):
    point = {"method": "full", "name": "full", "group": "", "seed": 1, "run": "a", "facts": []}
    ends = [(-0.5, 0.1), (source, 0.2)]
    points = [point | {"source_change": x, "target_change": y, "run": str(x)} for x, y in ends]
    (note,) = [one for one in run_frontier(points).layout.annotations if one.name]
    assert note.x == pytest.approx(anchor) and ("→" in note.text) == (anchor == 0)
