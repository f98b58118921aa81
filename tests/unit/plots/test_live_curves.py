"""Curves of tuning runs: accuracies above, losses below; one run or several."""

from ctsft.plots.style import COLOURS, METHOD_COLOURS, alt
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


def test_several_runs_are_drawn_in_panels_with_a_colour_each():
    other = RunHistory("Everything", rows("javanese", 2.0, steps=40, start=0.4), "javanese", "full")
    fig = training_curves([ONE, other])
    drawn = by_name(fig)
    places = {name.split(", ")[0]: trace.xaxis for name, trace in drawn.items()}
    assert len(set(places.values())) == 4, "source, target, the related set, and the loss"
    source, target = drawn["indonesian, Everything"], drawn["javanese, Everything"]
    assert source.line.color == target.line.color == METHOD_COLOURS["full"]
    assert source.line.color != drawn["indonesian, Circuit"].line.color
    loss = drawn["training loss, Everything"]
    assert loss.line.color == source.line.color and loss.y[0] == 3.5
    assert {axis.range for axis in (fig.layout.xaxis, fig.layout.xaxis4)} == {(0, 40)}, (
        "as long as the longest run"
    )
    assert "Everything on indonesian 0.80 to 0.40" in alt(fig)
    assert "training loss 3.50 to 0.00" in alt(fig)
    without = training_curves([ONE, other], loss=False)
    assert not any("loss" in name for name in by_name(without))
    assert without.layout.height < fig.layout.height


def test_runs_on_other_targets_share_the_panel_of_the_target():
    other = RunHistory("Other", rows("english", start=0.2), "english")
    fig = training_curves([ONE, other])
    drawn = by_name(fig)
    title = "javanese / english"
    assert drawn[f"{title}, Other"].y[0] == 0.2 and drawn[f"{title}, Circuit"].y[0] == 0.5
    assert any(title in note.text for note in fig.layout.annotations)
    levels = {(shape.name, shape.y0) for shape in fig.layout.shapes if shape.line.dash == "dash"}
    assert {("before source", 0.8), ("before target", 0.5), ("before target", 0.2)} < levels


def test_a_run_without_evaluations_is_left_out_until_it_has_one():
    fig = training_curves([ONE, RunHistory("Later", [], "javanese")])
    assert "training loss" in by_name(fig) and not any("Later" in trace.name for trace in fig.data)
    assert losses([{"step": 0, "loss": None}]) == ([], []) and RunHistory("x", [], "y").roles == {}
    early = training_curves([RunHistory("Circuit", rows("javanese")[:1], "javanese")])
    assert "training loss" not in alt(early) and early.layout.height == fig.layout.height
