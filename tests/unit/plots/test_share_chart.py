"""Curves of the shares of a change, and their lines on the frontier."""

import ctsft
from ctsft.plots.run_frontier import run_frontier, run_points
from ctsft.plots.style import COLOURS, alt
from support.errors import said

SHARES = {
    "split": "valid",
    "points": [
        {"share": share, "accuracy": {"indonesian": 0.9 - share / 5, "javanese": 0.4 + share / 5}}
        for share in (0.0, 0.5, 1.0)
    ],
}


def test_a_curve_for_each_language_in_the_colour_of_its_role():
    fig = ctsft.plots.share_curves(SHARES, "indonesian", "javanese")
    assert [trace.line.color for trace in fig.data] == [COLOURS["source"], COLOURS["target"]]
    assert list(fig.data[1].x) == [0, 0.5, 1] and list(fig.data[1].y) == [
        0.4,
        0.5,
        0.6000000000000001,
    ]
    assert "javanese (target) 0.40 at 0 to 0.60 at 1" in alt(fig)
    assert "valid rows" in fig.layout.yaxis.title.text
    for wrong in (None, {}, {"points": []}):
        said(lambda wrong=wrong: ctsft.plots.share_curves(wrong, "a", "b"), "no shares to draw")


def test_the_frontier_has_a_line_for_each_run_with_shares():
    row = {
        "run": "a",
        "name": "",
        "what": "full",
        "seed": 1,
        "target": "javanese",
        "n": 50,
        "source_before": 0.9,
        "source_after": 0.7,
        "target_before": 0.4,
        "target_after": 0.6,
    }
    shares = [
        {"share": share, "source_change": -share / 2, "target_change": share / 5}
        for share in (0.0, 0.5, 1.0)
    ]
    plain = run_frontier(run_points([row, row | {"run": "b", "seed": 2}]))
    fig = run_frontier(run_points([row | {"shares": shares}, row | {"run": "b", "seed": 2}]))
    (line,) = [trace for trace in fig.data if trace.name == "shares of a"]
    assert list(line.x) == [0, -0.25, -0.5] and list(line.y) == [0, 0.1, 0.2]
    assert line.text[1] == "0.5 of the change" and "validation rows" in line.hovertemplate
    assert not any("shares of" in (trace.name or "") for trace in plain.data)
    # the axes show all of it
    assert fig.layout.xaxis.range[0] < -0.5 < plain.layout.xaxis.range[0]
