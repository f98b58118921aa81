"""Curves in panels: colours by method, styles within a colour, bands over seeds, names at ends."""

import pytest

from ctsft.plots.curve_panels import TuningLine, curve_panels
from ctsft.plots.style import COLOURS, METHOD_COLOURS, alt

TITLES = {"source": "Indonesian", "target": "English"}


def line(method="full", name="Everything", ends=(0.5, 0.8), **more) -> TuningLine:
    """Two seeds a little apart, on steps 0 and 10."""
    seeds = {
        panel: [{0: start, 10: end - 0.02}, {0: start, 10: end + 0.04}]
        for panel, start, end in (("source", 0.7, ends[0]), ("target", 0.4, ends[1]))
    }
    return TuningLine(method, name, seeds, **more)


def drawn(lines, **options):
    fig = curve_panels(lines, TITLES, total_steps=10, **options)
    return fig, {trace.name: trace for trace in fig.data}


def test_lines_are_means_in_the_colour_of_the_method_and_bands_span_the_seeds():
    fig, traces = drawn([line(), line("circuit", "Circuit", (0.7, 0.6))])
    assert list(traces["Indonesian, Everything"].y) == pytest.approx([0.7, 0.51])
    assert list(traces["English, Everything, seeds"].y) == pytest.approx([0.4, 0.84, 0.78, 0.4])
    for panel in TITLES.values():
        assert traces[f"{panel}, Circuit"].line.color == METHOD_COLOURS["circuit"]
    levels = {shape.name: shape for shape in fig.layout.shapes}
    assert levels["before source"].y0 == 0.7 and levels["before target"].line.dash == "dash"
    assert levels["before target"].line.color == COLOURS["target"]
    assert "Circuit on English 0.40 to 0.61 (mean of 2 seeds)" in alt(fig)


def test_runs_of_one_method_differ_in_style_and_others_need_not():
    lines = [line(name="fast"), line("circuit", "Circuit"), line(name="slow")]
    _, traces = drawn(lines)
    styles = {name: traces[f"English, {name}"].line.dash for name in ("fast", "Circuit", "slow")}
    assert styles["fast"] == styles["Circuit"] == "solid" != styles["slow"]


@pytest.mark.parametrize("narrow", [False, True])
def test_names_stand_at_the_ends_apart_and_inside(narrow):
    lines = [line(name=f"setting {i}") for i in range(8)]
    fig, _ = drawn(lines, narrow=narrow)
    labels = [note for note in fig.layout.annotations if "setting" in note.text]
    assert len(labels) == (8 if narrow else 16)
    right = sorted(note.y for note in labels if note.yref == "y2 domain")
    gaps = [b - a for a, b in zip(right, right[1:], strict=False)]
    assert min(gaps) > 0.1 and right[0] >= 0 and right[-1] <= 1
    assert all(note.font.color == METHOD_COLOURS["full"] for note in labels)


@pytest.mark.parametrize(("chance", "side"), [(0.42, "bottom"), (0.38, "top")])
def test_the_name_of_chance_stands_where_no_level_strikes_it_out(chance, side):
    fig, _ = drawn([line()], chance=chance)  # before tuning: .4 on the target
    sides = {note.yref: note.yanchor for note in fig.layout.annotations if "chance" in note.text}
    assert sides == {"y": "top", "y2": side}


def test_lines_that_are_not_selected_are_faint():
    _, traces = drawn([line(), line("circuit", "Circuit", faint=True)])
    assert traces["English, Everything"].opacity == 1 > 0.5 > traces["English, Circuit"].opacity


def test_a_seed_that_ended_early_shortens_the_line_and_nothing_measured_is_said():
    early = TuningLine("full", "<b>x", {"source": [{0: 0.7, 5: 0.6, 10: 0.5}, {0: 0.7, 5: 0.4}]})
    fig, traces = drawn([early], loss=True)
    assert list(traces["Indonesian, &lt;b&gt;x"].x) == [0, 5] and "<b>x" not in fig.to_json()
    assert not any(name.startswith("English") for name in traces)
    assert "no evaluation yet" in alt(drawn([])[0])


def test_a_name_is_wrapped_and_its_value_is_never_cut_off():
    long = "Near-zero heads (6 heads), n=25, rate 0.003, seed 31, and more"
    fig, _ = drawn([line(), line("near_zero", long)])
    labels = [note.text for note in fig.layout.annotations if note.yref == "y domain"]
    assert "Everything 0.51" in labels
    (wrapped,) = (text for text in labels if text.startswith("Near"))
    assert wrapped.endswith("0.51") and "…" in wrapped and wrapped.count("<br>") in (1, 2)
