"""The chart of undoing heads one by one."""

import ctsft
from ctsft.plots.style import COLOURS
from support.errors import said


def point(heads, source, target):
    head = [1, heads] if heads else None
    accuracy = {"indonesian": source, "javanese": target}
    return {"heads": heads, "head": head, "undone": 10 * heads, "accuracy": accuracy}


UNDONE = {
    "source": "indonesian",
    "target": "javanese",
    "split": "valid",
    "heads": [[1, 1]],
    "before": {"indonesian": 0.9, "javanese": 0.4},
    "paths": {
        "cheapest": [point(0, 0.6, 0.7), point(1, 0.8, 0.7), point(2, 0.8, 0.6)],
        "random": [point(0, 0.6, 0.7), point(1, 0.6, 0.65), point(2, 0.7, 0.5)],
    },
}


def test_both_orders_of_both_languages_are_drawn():
    fig = ctsft.plots.undo_paths(UNDONE)
    lines = {trace.name: trace for trace in fig.data}
    assert list(lines) == [
        "indonesian, cheapest first",
        "indonesian, random order",
        "javanese, cheapest first",
        "javanese, random order",
    ]
    assert list(lines["indonesian, cheapest first"].y) == [0.6, 0.8, 0.8]
    assert list(lines["javanese, random order"].x) == [0, 1, 2]
    assert lines["indonesian, cheapest first"].line.color == COLOURS["source"]
    assert list(lines["indonesian, cheapest first"].customdata) == ["none", "L1.H1", "L1.H2"]
    shapes = [(shape.x0, shape.y0) for shape in fig.layout.shapes]
    assert shapes == [(0, 0.9), (0, 0.4), (1, 0)]
    assert "Chosen: 1 heads" in fig.layout.meta["alt"] and "0.60 to 0.80" in fig.layout.meta["alt"]
    named = {"paths": {"named": UNDONE["paths"]["random"]}}
    for wrong in (None, {}, named):
        said(lambda wrong=wrong: ctsft.plots.undo_paths(wrong), "no paths to draw")
