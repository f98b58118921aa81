"""Curves of tuning runs: accuracies above, losses below; one run or several."""

from ctsft.plots.style import COLOURS, alt
from ctsft.plots.training_curves import RunHistory, losses, training_curves


def rows(target: str, scale: float = 1.0, steps: int = 20, start: float = 0.5) -> list[dict]:
    return [
        {
            "step": step,
            "steps": steps,
            "loss": None if step == 0 else scale * (2 - step / 20),
            "accuracy": {
                "indonesian": 0.8 - step / 100,
                target: start + step / 100,
                "sundanese": 0.3,
            },
        }
        for step in range(0, steps + 1, 5)
    ]


ONE = RunHistory("Circuit", rows("javanese"), "javanese")


def by_name(fig) -> dict:
    return {trace.name: trace for trace in fig.data}


def test_one_run_has_its_languages_above_and_its_loss_below():
    fig = training_curves([ONE], chance=1 / 3)
    drawn = by_name(fig)
    assert [drawn[name].line.color for name in ("indonesian", "javanese", "sundanese")] == [
        COLOURS[role] for role in ("source", "target", "related")
    ]
    loss = drawn["training loss"]
    assert loss.yaxis == "y2" and list(loss.x) == [5, 10, 15, 20] and loss.y[0] == 1.75, (
        "no loss is known before the first step"
    )
    assert drawn["javanese"].yaxis in (None, "y") and list(drawn["javanese"].x) == [
        0,
        5,
        10,
        15,
        20,
    ]
    assert (
        fig.layout.yaxis2.domain[1] < fig.layout.yaxis.domain[0] and fig.layout.xaxis.anchor == "y2"
    ), "both panels share the axis of steps"
    assert (
        "training loss 1.75 to 1.00" in alt(fig)
        and "sundanese (related)" in alt(fig)
        and alt(fig).endswith(".")
    )
    dashed = {shape.name for shape in fig.layout.shapes if shape.line.dash == "dash"}
    assert dashed == {"before indonesian", "before javanese", "before sundanese"}


def test_several_runs_share_colours_and_are_told_apart_by_marker_and_line():
    other = RunHistory("Everything", rows("javanese", 2.0, steps=40, start=0.5), "javanese")
    fig = training_curves([ONE, other])
    drawn = by_name(fig)
    first, second = drawn["javanese, Circuit"], drawn["javanese, Everything"]
    assert (
        first.line.color == second.line.color == COLOURS["target"]
        and first.marker.symbol != second.marker.symbol
    )
    one, two = drawn["training loss, Circuit"], drawn["training loss, Everything"]
    assert (
        (one.marker.symbol, one.line.dash)
        == (first.marker.symbol, first.line.dash)
        != (two.marker.symbol, two.line.dash)
    )
    assert one.legendgroup == first.legendgroup, (
        "hiding a run by its name in the legend hides its loss too"
    )
    assert list(fig.layout.xaxis.range) == [0, 40], "as long as the longest run"
    assert "Everything 3.50 to 0.00" in alt(fig)


def test_runs_on_other_targets_keep_each_language_one_colour():
    other = RunHistory("Other", rows("english", start=0.2), "english")
    drawn = by_name(training_curves([ONE, other]))
    assert drawn["javanese"].line.color == drawn["english"].line.color == COLOURS["target"]
    assert drawn["english, Other"].y[0] == 0.2 and "english, Circuit" not in drawn, (
        "nothing is drawn of what a run did not measure"
    )
    beside = RunHistory(
        "Beside",
        [{"step": 0, "steps": 5, "accuracy": {"indonesian": 0.7, "english": 0.2, "javanese": 0.4}}],
        "english",
    )
    fig = training_curves([ONE, beside])
    assert by_name(fig)["javanese"].line.color == COLOURS["target"], (
        "the role in the first run that names it"
    )
    dashed = {(shape.name, shape.y0) for shape in fig.layout.shapes if shape.line.dash == "dash"}
    assert {
        ("before indonesian", 0.8),
        ("before indonesian", 0.7),
        ("before javanese", 0.5),
        ("before javanese", 0.4),
    } < dashed


def test_a_run_without_evaluations_is_left_out_until_it_has_one():
    fig = training_curves([ONE, RunHistory("Later", [], "javanese")])
    assert "training loss" in by_name(fig) and not any("Later" in trace.name for trace in fig.data)
    assert losses([{"step": 0, "loss": None}]) == ([], []) and RunHistory("x", [], "y").roles == {}
    early = training_curves([RunHistory("Circuit", rows("javanese")[:1], "javanese")])
    assert "training loss" not in alt(early) and early.layout.height == fig.layout.height
