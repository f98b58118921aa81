"""The frontier of any runs: seeds and means where they belong, the line through what is not beaten,
hovers that tell everything.
"""

import pytest

from ctsft.plots.run_frontier import group_points, run_frontier
from ctsft.plots.style import COLOURS, METHOD_COLOURS, alt


def point(method="circuit", source=-0.1, target=0.2, seed=1, group="", **more):
    return {
        "method": method,
        "name": method.capitalize(),
        "group": group,
        "seed": seed,
        "run": f"{method} {seed}",
        "source_change": source,
        "target_change": target,
        "facts": ["javanese 0.500 → 0.700"],
        **more,
    }


def by_name(fig) -> dict:
    return {(trace.name, len(trace.x or ())): trace for trace in fig.data}


def test_means_with_intervals_are_large_and_seeds_small():
    points = [
        point(source=-0.1, target=0.2, seed=1),
        point(source=-0.3, target=0.4, seed=2),
        point(source=-0.2, target=0.3, seed=3),
        point("full", -0.5, 0.1),
    ]
    fig = run_frontier(points)
    traces = by_name(fig)
    large, small, alone = traces["Circuit", 1], traces["circuit, a seed", 3], traces["Full", 1]
    assert (large.x[0], large.y[0]) == (pytest.approx(-0.2), pytest.approx(0.3)) and small.x == (
        -0.1,
        -0.3,
        -0.2,
    )
    assert (
        large.error_x.array[0] == pytest.approx(4.302653 * 0.1 / 3**0.5)
        and alone.error_x.array is None
    )
    assert (
        large.marker.size > small.marker.size
        and large.marker.symbol == small.marker.symbol != alone.marker.symbol
    )
    assert large.marker.color == COLOURS["circuit"] and alone.marker.color == METHOD_COLOURS["full"]
    assert (
        "mean of 3 seeds" in large.text[0]
        and "[" in large.text[0]
        and "circuit 2" in small.text[1]
        and "0.500 → 0.700" in small.text[1]
    )
    assert [trace.showlegend for trace in (large, small, alone)] == [True, False, True]
    # a mean over two seeds stands beside a single run
    assert "4 runs with different seeds, which are not ranked" in alt(fig)
    alike = alt(run_frontier([*points[:2], *(points[3] | {"seed": seed} for seed in (1, 2))]))
    assert "Circuit has the largest target change (+0.30), Circuit the best" in alike
    assert "on the frontier: Circuit." in alike


def test_settings_of_a_method_are_marks_of_their_own_and_share_a_legend_entry():
    points = [
        point(group="n 25"),
        point(group="n 100", source=-0.3, target=0.5),
        point("full", -0.4, 0.4, group="n 25"),
    ]
    fig = run_frontier(points)
    circuit = by_name(fig)["Circuit", 2]
    assert [text.split("<br>")[1] for text in circuit.text] == [
        "Circuit, n 25",
        "Circuit, n 100",
    ] and len(group_points(points)) == 3
    line = next(trace for trace in fig.data if trace.name == "frontier")
    assert (line.x, line.y, line.line.shape) == (
        (-0.3, -0.1),
        (0.5, 0.2),
        "vh",
    ) and "on the frontier: Circuit, n 100; Circuit, n 25." in alt(fig)
    assert sum(bool(trace.showlegend) for trace in fig.data) == 3


def test_the_start_is_in_view_and_foreign_names_are_text():
    fig = run_frontier([point(source=-0.4, target=0.1, run="<script>x</script>")])
    assert (
        fig.layout.xaxis.range[1] > 0 > fig.layout.yaxis.range[0]
        and "<script>" not in fig.data[-1].text[0]
    )
    dashed = {shape.line.color for shape in fig.layout.shapes if shape.line.dash == "dash"}
    assert dashed == {COLOURS["source"], COLOURS["target"]} and not any(
        trace.name == "frontier" for trace in fig.data
    )
    assert not run_frontier([]).data and "no finished run yet" in alt(run_frontier([]))
