import pytest

from ctsft.plots.accuracy_curves import accuracy_curves, spread_labels
from ctsft.plots.faithfulness import Series, draw_series
from ctsft.plots.style import COLOURS, alt

ROLES = {"indonesian": "source", "javanese": "target", "buginese": "related"}


FITTED = [0.2, 0.9]
START = {"indonesian": 0.85, "javanese": 0.54, "buginese": 0.24}


HISTORY = [
    {"step": 7, "indonesian": 0.84, "javanese": 0.6},
    {"step": 14, "indonesian": 0.82, "javanese": 0.7, "buginese": 0.3},
]


def before(fig):
    return {
        s.name.removeprefix("before "): s
        for s in fig.layout.shapes
        if (s.name or "").startswith("before ")
    }


@pytest.mark.parametrize(("level", "side"), [(0.32, "bottom"), (0.35, "top")])
def test_the_name_of_chance_stands_where_no_level_strikes_it_out(level, side):
    fig = accuracy_curves(HISTORY, ROLES, START | {"buginese": level}, total_steps=35, chance=1 / 3)
    (name,) = (note for note in fig.layout.annotations if "chance" in note.text)
    assert name.yanchor == side


def test_live_curves_start_at_the_level_before_tuning():
    fig = accuracy_curves(HISTORY, ROLES, START, total_steps=35, chance=1 / 3)
    lines = {trace.name: trace for trace in fig.data}
    assert list(lines["javanese"].x) == [0, 7, 14] and list(lines["javanese"].y) == [0.54, 0.6, 0.7]
    assert list(lines["buginese"].x) == [
        0,
        14,
    ], "a set that was not evaluated at a step has no point there"
    for name, role in ROLES.items():
        level = before(fig)[name]
        assert level.line.dash == "dash" and level.y0 == level.y1 == START[name]
        assert level.line.color == lines[name].line.color == COLOURS[role]
        assert (level.x0, level.x1) == (0, 35) and lines[name].line.dash == "solid"


def test_the_axes_do_not_move_while_rows_arrive():
    empty, later = (
        accuracy_curves(rows, ROLES, START, total_steps=35, title="a") for rows in ([], HISTORY)
    )
    for fig in (empty, later):
        assert list(fig.layout.xaxis.range) == [0, 35]
        # fitted to the levels before tuning and the points, out to the next tenth
        assert list(fig.layout.yaxis.range) == pytest.approx(FITTED)
    assert empty.layout.uirevision == later.layout.uirevision is not None
    assert empty.layout.margin == later.layout.margin and "no evaluation yet" in alt(empty)
    assert "javanese (target) 0.54 to 0.70" in alt(later) and "35 optimiser steps" in alt(later)


def test_a_run_that_evaluated_at_step_0_keeps_its_own_value():
    fig = accuracy_curves(
        [{"step": 0, "javanese": 0.5}], {"javanese": "target"}, START, total_steps=5
    )
    assert list(fig.data[0].y) == [0.5]


def test_direct_labels_keep_their_distance_and_order():
    spread = spread_labels([0.99, 0.985, 0.2, 0.98])
    assert max(spread) <= 1 and spread[2] == 0.2
    assert (
        spread[0] > spread[1] > spread[3]
        and min(spread[0] - spread[1], spread[1] - spread[3]) > 0.059
    )
    labels = accuracy_curves(HISTORY, ROLES, START, total_steps=35).layout.annotations
    assert [a.text.split("</span> ")[1] for a in labels] == [
        "indonesian 0.82",
        "javanese 0.70",
        "buginese 0.30",
    ]


def test_faithfulness_shows_the_band_and_both_ends():
    series = Series([1, 4], [0.5, 1.1], ([-0.3, 0.2], [0.0, 0.3], [0.2, 0.6]))
    fig = draw_series(series, metric="margin")
    band, median, circuit = fig.data
    assert list(band.x) == [1, 4, 4, 1] and list(band.y) == [0.2, 0.6, 0.2, -0.3]
    assert (
        list(circuit.y) == [0.5, 1.1]
        and circuit.line.color == COLOURS["circuit"] != median.line.color
    )
    assert {shape.y0 for shape in fig.layout.shapes} == {0, 1}
    low, high = fig.layout.yaxis.range
    assert low < -0.3 and high > 1.1 and "4 heads 1.1, random ones 0.3" in alt(fig)


@pytest.mark.parametrize(
    "fig", [draw_series(Series([], [], ([], [], []))), accuracy_curves([], {}, {}, total_steps=1)]
)
def test_nothing_measured_is_said(fig):
    assert "nothing measured yet" in alt(fig) or "no evaluation yet" in alt(fig)
