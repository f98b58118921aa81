"""What tuning changed, as a map and in sentences."""

import pytest

from ctsft.plots import change_map
from ctsft.plots.style import alt

ROWS = [
    {"layer": layer, "head": head, "change": change, "of": 2.0}
    for (layer, head), change in {(0, 0): 0.5, (0, 1): 0.1, (1, 0): 0.0, (1, 1): 0.0}.items()
]


ROWS += [{"layer": None, "head": "norms", "change": 0.25, "of": 1.0}]


def test_the_map_has_a_cell_a_head_from_zero_up_and_outlines_what_was_chosen():
    fig = change_map.change_map(ROWS, [(0, 0)])
    heat = fig.data[0]
    assert [list(row) for row in heat.z] == [
        [0.5, 0.1],
        [0, 0],
    ] and heat.zmin == 0, "norms are no cell"
    (cells,) = [trace for trace in fig.data if trace.name == "heads"]
    hover = {tuple(at): text for at, text in zip(cells.customdata, cells.text, strict=True)}
    assert "25.00% of its weights' norm" in hover[0, 0] and "trained" in hover[0, 0]
    assert (
        "shares keys and values with a trained head" in hover[0, 1]
        and "did not change" in hover[1, 1]
    )
    assert "1 in the circuit: L0.H0" in alt(fig) and [
        note.text for note in fig.layout.annotations
    ] == ["□ trained"]
    (note,) = change_map.change_map(ROWS, [(0, 0)], undone=[(0, 0)]).layout.annotations
    assert note.text == "□ trained  × old weights"
    undone = change_map.change_map(ROWS, [], undone=[(0, 1), (1, 0)])
    assert "2 removed by hand" in alt(undone) and "removed" in {one.name for one in undone.data}
    everything = change_map.change_map(ROWS, [])
    assert (
        "changed" in next(trace for trace in everything.data if trace.name == "heads").text[1]
        and not everything.layout.annotations[0].text
    )


def test_sentences_say_what_changed_most_and_why_others_did():
    said = change_map.change_sentence(ROWS, [(0, 0)])
    assert (
        said
        == "2 of 4 heads changed, L0.H0 most: 0.5, or 25.0% of its weights' norm. L0.H1 changed"
        " because keys and values are shared in groups. The norms changed by 0.25."
    )
    assert "because" not in change_map.change_sentence(ROWS, []), (
        "without trained heads the whole model was trained"
    )
    still = [row | {"change": 0.0} for row in ROWS]
    assert change_map.change_sentence(still, [(0, 0)]) == "0 of 4 heads changed. No norm changed."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            {"stayed": [[0, 0]], "left": [[0, 1]], "came": [[1, 1]], "spearman": -0.25},
            (
                "1 of the 2 top heads before tuning is among the 2 top heads after it: L0.H1 left,"
                " L1.H1 came in. The rank correlation of all heads' scores before and after is"
                " −0.25 (1: the same order, 0: no relation)."
            ),
        ),
        (
            {"stayed": [[0, 0], [0, 1]], "left": [], "came": [], "spearman": None},
            (
                "2 of the 2 top heads before tuning are among the 2 top heads after it. The rank"
                " correlation of all heads' scores before and after is not defined: the heads of"
                " one of the two all have the same score."
            ),
        ),
    ],
)
def test_whether_the_circuit_moved(words, said):
    assert change_map.rescoring_sentences({"k": 2, **words}) == said
