"""A circuit by hand, as a file, and for another model."""

import json
from dataclasses import replace

import pytest

from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.circuit.circuit import LOGITS, Circuit
from ctsft.circuit.faithfulness import faithfulness
from ctsft.circuit.selection import select
from support.errors import said
from support.scores import TABLE
from support.tasks import examples

POOL = examples(3, seed=2, longest=4)


def test_heads_put_in_and_taken_out_by_hand():
    circuit = select(TABLE, "top", k=2)
    edited = circuit.edit(added=[(0, 1), (0, 0)], removed=[(1, 2), (1, 1)])
    assert edited.heads == {(0, 0), (0, 1)} and (edited.added, edited.removed) == (
        {(0, 1)},
        {(1, 2)},
    )
    assert (
        edited.why == {(0, 0): "rank 1 by score", (0, 1): "added by hand"}
        and edited.rule == circuit.rule
    )
    assert (
        circuit.heads == {(0, 0), (1, 2)}
        and (0, 1) in edited
        and [0, 1] in edited
        and (1, 2) not in edited
    )


def test_a_circuit_survives_saving(tmp_path):
    circuit = replace(
        select(TABLE, "top", k=3), edges=(((0, 0), (1, 2), -0.25), ((1, 2), LOGITS, 3.0))
    ).edit(added=[(0, 1)], removed=[(1, 0)])
    circuit.save(tmp_path / "circuit.json")
    again = Circuit.load(tmp_path / "circuit.json")
    assert vars(again) == vars(circuit) and len(again.edges) == 2
    assert json.loads((tmp_path / "circuit.json").read_text())["heads"][0] == {
        "layer": 0,
        "head": 0,
        "why": "rank 1 by score",
    }
    assert Circuit.parse('{"heads": [{"layer": 1, "head": 2}]}').heads == {(1, 2)}


@pytest.mark.parametrize(
    "text",
    [
        '{"heads": [], "edges": [{"from": [0], "to": "logits", "relevance": 1}]}',
        '{"heads": [], "edges": [{"from": [0, 1], "to": "sky", "relevance": 1}]}',
        "",
        "[]",
        "{}",
        '{"heads": [[0, 1]]}',
        '{"heads": [{"layer": 0}]}',
        '{"heads": [{"layer": "a", "head": 0}]}',
        '{"heads": 3}',
    ],
)
def test_what_is_no_circuit_is_refused(tmp_path, text):
    (tmp_path / "circuit.json").write_text(text)
    said(
        lambda: Circuit.load(tmp_path / "circuit.json"), "circuit.json is not a circuit", '"heads"'
    )
    said(lambda: Circuit.load(tmp_path / "none.json"), "none.json", "cannot be read")


def test_another_models_circuit_is_refused(loaded, task):
    model = loaded["qwen2"]
    circuit = select(
        score_heads(model, task, POOL, label_balanced_means(model, task, POOL), "atp"), "top", k=3
    )
    assert circuit.check(model) is circuit
    said(
        lambda: circuit.check(loaded["llama"]),
        "model_type",
        "'qwen2'",
        "'llama'",
        circuit.model["model"],
    )
    said(lambda: select(TABLE, "all").check(loaded["llama"]), "n_layers is 2", "3")
    said(lambda: Circuit(frozenset({(0, 0), (3, 1)})).check(model), "L3.H1", "3 layers of 4 heads")
    said(lambda: Circuit(frozenset({(0, 0), (1, 4)})).check(model), "L1.H4")
    said(
        lambda: faithfulness(
            model,
            task,
            Circuit(frozenset({(0, -1)})),
            POOL,
            label_balanced_means(model, task, POOL),
        ),
        "L0.H-1",
    )


def test_a_head_taken_out_by_hand_keeps_its_edges_in_the_file(tmp_path):
    circuit = replace(select(TABLE, "top", k=2), edges=(((0, 0), (1, 2), 0.5),))
    assert (
        circuit.edit(removed=[(1, 2)]).edges
        == circuit.edges
        == circuit.edit(removed=[(1, 2)]).edit(added=[(1, 2)]).edges
    )
