"""The frontier figure: means over targets, seeds and their intervals where they belong."""

import pytest

from ctsft.plots.experiment_frontier import frontier, seed_points, undominated_methods
from ctsft.plots.frontier_marks import undominated
from ctsft.plots.style import COLOURS, METHOD_COLOURS, alt
from ctsft.utils.statistics import spread
from support.experiment import row

ROWS = [
    row(method, target, seed, 0.25 + gain + shift, 0.75 - loss)
    for method, gain, loss in (("circuit", 0.2, 0.1), ("full", 0.3, 0.4))
    for target, shift in (("jv", 0.0), ("su", 0.1))
    for seed in (1, 2)
]


def test_a_small_mark_is_a_seed_and_a_large_one_the_mean():
    assert [(one["method"], one["seed"]) for one in seed_points(ROWS)] == [
        ("circuit", 1),
        ("circuit", 2),
        ("full", 1),
        ("full", 2),
    ]
    assert seed_points(ROWS)[0]["target_change"] == pytest.approx(0.25) and seed_points(ROWS)[0][
        "source_change"
    ] == pytest.approx(-0.1)
    fig = frontier(ROWS)
    large = {trace.name: trace for trace in fig.data if trace.name}
    assert set(large) == {"circuit", "full", "frontier"} and len(fig.data) == 5
    assert large["frontier"].x == pytest.approx((-0.4, -0.1)) and large[
        "frontier"
    ].y == pytest.approx((0.35, 0.25))
    assert (large["full"].x[0], large["full"].y[0]) == (pytest.approx(-0.4), pytest.approx(0.35))
    assert (
        large["circuit"].marker.color == COLOURS["circuit"]
        and large["full"].marker.color == METHOD_COLOURS["full"]
    )
    assert (
        COLOURS["source"] in fig.layout.xaxis.title.text
        and COLOURS["target"] in fig.layout.yaxis.title.text
    )
    assert (
        "full has the largest target change (+0.35), circuit the best source change (-0.10)"
        in alt(fig)
    )


def test_intervals_are_drawn_both_ways_and_seeds_without_a_target_are_left_out():
    rows = [*ROWS, row("circuit", "jv", 3, 0.9, 0.1)] + [
        row("circuit", target, 4, 0.85, 0.35) for target in ("jv", "su")
    ]
    fig = frontier(rows)
    large = next(trace for trace in fig.data if trace.name == "circuit")
    small = next(trace for trace in fig.data if trace.legendgroup == "circuit" and not trace.name)
    assert len(small.x) == 3 and large.error_x.array[0] > 0 and large.error_y.arrayminus[0] > 0
    assert large.error_y.array[0] == pytest.approx(spread(small.y).high - large.y[0])
    assert "no seed" in alt(frontier([]))


def test_tuning_of_another_model_kept_nothing_and_is_not_drawn():
    fig = frontier(
        [
            *ROWS,
            *(row("direct", target, seed, 0.4, 0.38) for target in ("jv", "su") for seed in (1, 2)),
        ]
    )
    assert {trace.name for trace in fig.data if trace.name} == {
        "circuit",
        "full",
        "frontier",
    } and "direct" not in alt(fig)


def test_panels_by_setting_and_size():
    rows = [
        one | {"setting": setting, "n": n}
        for one in ROWS
        for setting in ("rough", "gentle")
        for n in (25, 100)
    ]
    fig = frontier(rows, title="NusaX")
    titles = [note.text for note in fig.layout.annotations]
    assert (
        titles == ["rough, n = 25", "rough, n = 100", "gentle, n = 25", "gentle, n = 100"]
        and len(fig.data) == 20
    )
    assert sum(bool(trace.showlegend) for trace in fig.data) == 3 and alt(fig).startswith(
        "NusaX: rough, n=25"
    )


def test_the_frontier_is_what_no_other_beats_at_both():
    points = [
        (0.0, 0.3),
        (-0.1, 0.3),
        (-0.2, 0.5),
        (0.1, -0.1),
        (0.1, -0.1),
        (-0.3, 0.1),
        (-0.25, 0.4),
    ]
    assert undominated(points) == [2, 0, 3, 4], "by rising source change; of equal ones all"
    assert undominated([]) == [] and undominated([(0, 0)]) == [0]


def test_shares_are_a_line_of_each_way_and_the_ways_that_are_not_beaten_are_named():
    def shares(gain: float) -> list[dict]:
        return [
            {"share": share, "source_change": -0.1 * share, "target_change": gain * share}
            for share in (0.0, 0.5, 1.0)
        ]

    # two targets and two seeds, with a gain of .1 to .4
    rows = [one | {"shares": shares(0.1 * (i + 1))} for i, one in enumerate(ROWS[:4])]
    rows += [*ROWS[4:], *(row("norms", target, 1, 0.4, 0.3) for target in ("jv", "su"))]
    lines = [trace for trace in frontier(rows).data if (trace.name or "").startswith("shares")]
    assert [(line.name, line.legendgroup) for line in lines] == [("shares of circuit", "circuit")]
    assert lines[0].x == pytest.approx((0, -0.05, -0.1))
    assert lines[0].y == pytest.approx((0, 0.125, 0.25))
    # the controls: without shares no line; norms are beaten by the circuit at both
    assert not [trace for trace in frontier(ROWS).data if "shares" in (trace.name or "")]
    assert undominated_methods(rows) == {("one", 5): ["circuit", "full"]}
    assert "not dominated: circuit, full" in alt(frontier(rows))
