"""Figures for a projector: a large copy, and the figure as it was."""

from ctsft.plots.curve_panels import TuningLine, curve_panels
from ctsft.plots.head_grid import head_grid
from ctsft.plots.presentation import FONT, THICKER, enlarged
from ctsft.plots.run_frontier import MOST_LABELS, run_frontier
from ctsft.plots.style import METHOD_COLOURS, alt


def panels():
    line = TuningLine("full", "Everything", {"source": [{0: 0.7, 5: 0.5}], "target": [{0: 0.3}]})
    return curve_panels([line], {"source": "id", "target": "en"}, total_steps=5)


def point(method="full", run="a", source=-0.1, target=0.1) -> dict:
    changes = {"source_change": source, "target_change": target}
    return {"method": method, "name": method, "group": "", "seed": 1, "run": run} | changes | FACTS


FACTS = {"facts": [], "ids": []}


def test_the_copy_has_large_type_thick_lines_and_no_size_and_the_figure_stays():
    fig = panels()
    before = fig.to_json()
    large = enlarged(fig)
    assert fig.to_json() == before != large.to_json()
    assert large.layout.height is None and large.layout.width is None
    assert large.layout.xaxis2.tickfont.size == large.layout.yaxis.title.font.size == FONT
    assert {note.font.size for note in large.layout.annotations} == {FONT}
    assert large.data[0].line.width == THICKER * fig.data[0].line.width
    assert large.data[0].marker.size == THICKER * fig.data[0].marker.size
    assert large.layout.margin.l == THICKER * fig.layout.margin.l and alt(large) == alt(fig)


def test_type_and_lines_grow_with_the_screen():
    small, large = enlarged(panels()), enlarged(panels(), 2)
    assert large.layout.font.size == 2 * small.layout.font.size
    assert large.data[0].line.width == 2 * small.data[0].line.width


def test_a_map_keeps_the_squares_that_carry_its_hover_texts():
    fig = head_grid([[1.0, -1.0], [0.5, 0.0]], title="scores")
    large = enlarged(fig)
    cells, squares = (
        next(trace for trace in large.data if trace.type == "heatmap"),
        {trace.name: trace for trace in large.data}["heads"],
    )
    assert cells.colorbar.tickfont.size > fig.data[0].colorbar.title.font.size
    original = {trace.name: trace for trace in fig.data}["heads"]
    assert squares.marker.size == original.marker.size
    assert large.layout.title.text == "" != fig.layout.title.text


def test_few_marks_have_their_names_beside_them_and_many_a_legend():
    few = run_frontier([point(), point("circuit", "b", -0.02)], labels=True)
    names = {note.text: note for note in few.layout.annotations if note.text in METHOD_COLOURS}
    assert set(names) == {"full", "circuit"} and not few.layout.showlegend
    assert names["full"].font.color == METHOD_COLOURS["full"]
    many = [point() | {"group": str(i)} for i in range(MOST_LABELS + 1)]
    assert run_frontier(many, labels=True).layout.showlegend
    assert run_frontier([point()]).layout.showlegend
