"""The layered graph of a discovered circuit: who stands where, which edges are drawn and how wide;
on a real discovery too.
"""

import pytest

from ctsft.attribution.means import label_balanced_means
from ctsft.circuit.circuit import LOGITS
from ctsft.circuit.discovery import discover
from ctsft.plots import layered_graph, style
from support.tasks import examples

EDGES = (
    ((2, 1), LOGITS, 2.0),
    ((2, 3), LOGITS, 1.0),
    ((1, 0), (2, 1), 0.04),
    ((1, 0), (2, 3), -0.02),
    ((1, 2), (2, 1), 0.01),
    ((0, 0), (1, 0), 0.005),
)


def drawn(fig, name):
    return [trace for trace in fig.data if trace.name == name]


def test_a_head_came_in_one_iteration_after_its_target():
    assert layered_graph.head_iterations(EDGES) == {
        (2, 1): 0,
        (2, 3): 0,
        (1, 0): 1,
        (1, 2): 1,
        (0, 0): 2,
    }
    assert layered_graph.circuits_by_iteration(EDGES) == [
        {(2, 1), (2, 3)},
        {(2, 1), (2, 3), (1, 0), (1, 2)},
        {(2, 1), (2, 3), (1, 0), (1, 2), (0, 0)},
    ]
    assert layered_graph.head_iterations(()) == {} and layered_graph.circuits_by_iteration(()) == []


def test_each_kind_of_edge_goes_by_its_own_strongest():
    assert layered_graph.strongest_edges(EDGES) == {
        True: 2.0,
        False: 0.04,
    } and layered_graph.edge_shares(EDGES) == [
        1,
        0.5,
        1,
        0.5,
        0.25,
        0.125,
    ]
    assert [len(layered_graph.edges_above(EDGES, least)) for least in (0, 0.13, 0.3, 0.6, 1.0)] == [
        6,
        5,
        4,
        2,
        2,
    ]
    assert layered_graph.edges_above(
        (((0, 0), LOGITS, 0.0),), 0.0
    ) and not layered_graph.edges_above((((0, 0), LOGITS, 0.0),), 0.1)


def test_layers_go_from_left_to_right_and_the_logits_stand_last():
    at = layered_graph.node_positions(EDGES, 4)
    assert at[LOGITS] == (4.0, 0.0) and all(
        at[head][0] == head[0] for head in layered_graph.head_iterations(EDGES)
    )
    assert at[2, 1][1] > at[2, 3][1] and len(set(at.values())) == len(at)


def test_the_figure_draws_width_by_relevance_and_sign_by_colour():
    fig = layered_graph.edge_graph(EDGES, 4, selected=(1, 0))
    lines = drawn(fig, "edges")
    assert sum(list(line.x).count(None) for line in lines) == len(EDGES)
    green = [line for line in lines if line.line.color == style.DIVERGING[1][1]]
    assert len(green) == 1 and list(green[0].x) == [
        1.0,
        2.0,
        None,
    ], "L1.H0 speaks against the right label through L2.H3"
    widest = max(lines, key=lambda line: line.line.width)
    assert list(widest.x).count(None) == 2 and widest.line.width <= layered_graph.MAX_WIDTH
    assert drawn(fig, "relevance")[0].text == (
        "L2.H1 → logits: 2",
        "L2.H3 → logits: 1",
        "L1.H0 → L2.H1: 0.04",
        "L1.H0 → L2.H3: −0.02",
        "L1.H2 → L2.H1: 0.01",
        "L0.H0 → L1.H0: 0.005",
    )
    nodes = {
        name: [tuple(pair) for trace in drawn(fig, name) for pair in trace.customdata]
        for name in ("iteration 0", "iteration 1", "iteration 2")
    }
    assert nodes == {
        "iteration 0": [(2, 1), (2, 3)],
        "iteration 1": [(1, 0), (1, 2)],
        "iteration 2": [(0, 0)],
    }
    assert style.COLOURS["target"] in drawn(fig, "iteration 1")[
        0
    ].marker.line.color and "6 of 6 edges" in style.alt(fig)
    fewer = layered_graph.edge_graph(EDGES, 4, 0.3)
    assert len(drawn(fewer, "relevance")[0].x) == 4 and "4 of 6 edges" in style.alt(fewer)
    assert (
        fewer.layout.xaxis.range == fig.layout.xaxis.range
        and fewer.layout.yaxis.range == fig.layout.yaxis.range
    ), "the nodes stay where they are"


def test_the_table_lists_what_is_drawn():
    table = layered_graph.edge_table(EDGES, 0.2)
    assert (
        table.iloc[0].tolist() == [0, "L2.H1", "logits", 2.0]
        and len(table) == 5
        and list(table["iteration"]) == [0, 0, 1, 1, 1]
    )


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_a_real_discovery_of_depth_two_has_heads_that_act_on_heads(loaded, task, family):
    model = loaded[family]
    pool = examples(3, seed=2, longest=4)
    circuit = discover(
        model, task, pool, label_balanced_means(model, task, pool), depth=2, fraction=0.17
    )
    steps = layered_graph.head_iterations(circuit.edges)
    assert steps.keys() == circuit.heads and max(steps.values()) == 2
    assert all(f"iteration {step}:" in circuit.why[head] for head, step in steps.items())
    assert layered_graph.circuits_by_iteration(circuit.edges)[-1] == circuit.heads and len(
        drawn(layered_graph.edge_graph(circuit.edges, 3), "relevance")[0].x
    ) == len(circuit.edges)
