"""Means over seeds as lines, from the lowest to the highest seed as bands; one colour a method."""

import pytest

from ctsft.plots.seed_bands import common_limits, seed_bands
from ctsft.plots.style import COLOURS, METHOD_COLOURS, alt

CURVES = {
    "full": [{0: 0.7, 2: 0.4, 4: 0.5}, {0: 0.7, 2: 0.6, 4: 0.5}],
    "circuit": [{0: 0.7, 2: 0.7, 4: 0.68}, {0: 0.7, 2: 0.7, 4: 0.72}],
}
NAMES = {"full": "Everything", "circuit": "Circuit"}


@pytest.fixture
def fig():
    return seed_bands(
        CURVES, NAMES, title="Indonesian (source)", role="source", limits=common_limits([CURVES])
    )


def test_lines_are_means_and_bands_reach_from_the_lowest_to_the_highest_seed(fig):
    lines = {trace.name: trace for trace in fig.data if trace.name}
    assert list(lines["Everything"].x) == [0, 2, 4]
    assert list(lines["Everything"].y) == pytest.approx([0.7, 0.5, 0.5])
    band = next(trace for trace in fig.data if trace.fill == "toself")
    assert list(band.y) == [0.7, 0.6, 0.5, 0.5, 0.4, 0.7] and band.hoverinfo == "skip"
    for method, name in NAMES.items():
        assert lines[name].line.color == METHOD_COLOURS[method]
    assert METHOD_COLOURS["full"] != METHOD_COLOURS["circuit"]


def test_the_level_before_tuning_is_dashed_and_the_names_stand_at_the_ends(fig):
    (shape,) = fig.layout.shapes
    assert shape.line.dash == "dash" and shape.y0 == 0.7 and shape.line.color == COLOURS["source"]
    names = {note.text: note for note in fig.layout.annotations}
    assert set(names) == {"Everything", "Circuit"}
    assert names["Circuit"].y > names["Everything"].y
    assert names["Circuit"].font.color == METHOD_COLOURS["circuit"]


def test_names_of_equal_ends_are_moved_apart_within_the_axis():
    same = {method: [{0: 0.5, 2: 0.7}] for method in METHOD_COLOURS}
    names = {method: method for method in same}
    fig = seed_bands(same, names, title="x", role="target", limits=(0.5, 0.7))
    heights = sorted(note.y for note in fig.layout.annotations)
    assert heights[-1] <= 1.0
    assert all(b - a > 0.07 for a, b in zip(heights, heights[1:], strict=False))


def test_panels_share_their_limits_and_are_described(fig):
    low, high = common_limits([CURVES, {"full": [{0: 0.3, 2: 0.2}]}])
    assert (low, high) == pytest.approx((0.17, 0.75))
    assert list(fig.layout.yaxis.range) == pytest.approx([0.37, 0.75])
    assert "Everything 0.70 to 0.50, lowest 0.50" in alt(fig)
