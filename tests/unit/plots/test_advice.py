"""Advice as figures and sentences: each map holds its column, advised heads are numbered, and what
is said follows from the heads.
"""

import numpy as np
import pytest

from ctsft.circuit.advice_ranking import Ranking
from ctsft.circuit.circuit import Circuit
from ctsft.plots import advice
from ctsft.plots.style import alt

ASKS, COSTS, WORTH = (
    np.array([[4.0, 1.0, 2.0], [3.0, 0.5, 0.1]]),
    np.array([[9.0, 1.0, 4.0], [1.0, 0.25, 100.0]]),
    np.array([[16.0, 1.0, 4.0], [9.0, 0.25, 0.01]]),
)


ORDER = [(0, 0), (1, 0), (0, 2), (0, 1), (1, 1), (1, 2)]


KEPT = Ranking(
    tuple(
        {
            "layer": layer,
            "head": head,
            "value": WORTH[layer, head],
            "gradient": ASKS[layer, head],
            "fisher": COSTS[layer, head],
            "rank": i,
        }
        for i, (layer, head) in enumerate(ORDER, 1)
    ),
    {"n_layers": 2, "n_heads": 3},
)


CIRCUIT = Circuit(frozenset({(0, 0), (1, 2)}), {(0, 0): "rank 1 by score"})


@pytest.mark.parametrize(
    ("what", "values"), [("worth", np.sqrt(WORTH) / 4), ("asks", ASKS), ("costs", np.sqrt(COSTS))]
)
def test_a_map_holds_its_quantity_from_zero_up_and_numbers_the_advised(what, values):
    fig = advice.advice_map(KEPT, what, CIRCUIT, k=3, selected=(1, 1))
    heat = fig.data[0]
    assert np.allclose(heat.z, values) and heat.zmin == 0 and heat.zmax <= values.max()
    places = {(note.y, note.x): note.text for note in fig.layout.annotations if note.name == "rank"}
    assert places == {(0, 0): "<b>1</b>", (1, 0): "<b>2</b>", (0, 2): "<b>3</b>"}
    colours = {
        (note.y, note.x): note.font.color for note in fig.layout.annotations if note.name == "rank"
    }
    assert all((colours[at] == "white") == (values[at] > 0.55 * heat.zmax) for at in places)
    outline = next(trace for trace in fig.data if trace.name == "outline")
    assert list(outline.x).count(None) == 2
    assert "Advised, in order: L0.H0, L1.H0, L0.H2." in alt(fig)
    key = next(note.text for note in fig.layout.annotations if note.name == "key")
    assert "in circuit" in key and "1 to 3: advised" in key
    clicks = next(trace for trace in fig.data if trace.name == "heads")
    assert "rank 2 of 6" in clicks.text[3] and "in the circuit" in clicks.text[0]


def test_no_head_advised_leaves_no_number():
    fig = advice.advice_map(KEPT, "worth", k=0, flip=True)
    assert not [
        note for note in fig.layout.annotations if note.name == "rank"
    ] and "Advised" not in alt(fig)


def test_the_scatter_has_every_head_once_by_kind_and_clicks_carry_it():
    fig = advice.advice_scatter(KEPT, CIRCUIT, 2, (1, 1), ("indonesian", "<b>english</b>"))
    heads_by_name = {
        trace.name: [tuple(at) for at in trace.customdata]
        for trace in fig.data
        if trace.customdata is not None
    }
    assert heads_by_name == {
        "others": [(0, 1), (0, 2), (1, 1)],
        "circuit": [(1, 2)],
        "advised": [(1, 0)],
        "both": [(0, 0)],
    }
    for trace in fig.data[:4]:
        assert list(trace.x) == [COSTS[tuple(at)] ** 0.5 for at in trace.customdata]
        assert list(trace.y) == [ASKS[tuple(at)] for at in trace.customdata]
    assert (
        fig.layout.xaxis.type == fig.layout.yaxis.type == "log"
        and "<b>" not in fig.layout.yaxis.title.text
    )
    assert len({trace.marker.symbol for trace in fig.data[:3]}) == 3
    # the circuit is ringed
    assert [trace.marker.line.width > 0 for trace in fig.data[:4]] == [False, True, False, True]
    assert fig.data[4].name == "selected" and "advised: L1.H0" in alt(fig)


def test_a_logarithmic_axis_says_whole_numbers():
    axis = advice.axis_of(np.array([0.3, 1.0, 13.0]), True)
    assert axis["ticktext"] == ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50"]
    assert advice.axis_of(np.array([0.3]), True)["tickvals"] == pytest.approx([0.1, 0.2, 0.5])
    assert advice.axis_of(np.array([0.0, 1.0]), False) == {"type": "linear"}


def test_a_head_without_gradient_takes_the_logarithm_away():
    none = Ranking(tuple(row | {"gradient": 0.0} for row in KEPT.rows), KEPT.about)
    assert advice.advice_scatter(none, CIRCUIT, 2, None, ("a", "b")).layout.xaxis.type == "linear"


def test_the_sentences_follow_the_heads():
    relevance = -WORTH
    shows, do = advice.advice_sentences(KEPT, relevance, CIRCUIT, 2, ("Indonesian", "English"))
    assert (
        "L0.H0, L1.H0" in shows
        and "L0.H0 is in the circuit" in shows
        and "is −1" in shows
        and "take the 2 advised heads" in do
    )
    shows, do = advice.advice_sentences(
        KEPT, relevance, Circuit(frozenset(ORDER[:2])), 2, ("a", "b")
    )
    assert "all of them are in the circuit" in shows and "current circuit is what is advised" in do
    assert (
        "none of them is"
        in advice.advice_sentences(KEPT, relevance, Circuit(frozenset({(1, 2)})), 1, ("a", "b"))[0]
    )


def test_the_table_follows_the_advice():
    rows = advice.advice_table(KEPT, WORTH, CIRCUIT)
    assert (
        [row["head"] for row in rows][:2] == ["L0.H0", "L1.H0"]
        and rows[0]["in circuit"]
        and not rows[1]["in circuit"]
    )
    assert (
        rows[1]["costs"] == 1.0
        and rows[1]["worth"] == pytest.approx(0.75)
        and rows[1]["relevance"] == 9.0
    )
