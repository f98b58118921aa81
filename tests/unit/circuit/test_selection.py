"""Selection rules on tables that one can check by eye."""

import pytest

from ctsft.circuit.selection import RULES, heads_in_fraction, select
from support.errors import said
from support.scores import TABLE, made

EVERY = {(layer, head) for layer in range(2) for head in range(3)}


@pytest.mark.parametrize(
    ("rule", "settings", "heads"),
    [
        ("top", {"k": 1}, {(0, 0)}),
        ("top", {"k": 3}, {(0, 0), (1, 2), (1, 0)}),
        ("top", {"k": 0}, set()),
        ("top", {"fraction": 0.5}, {(0, 0), (1, 2), (1, 0)}),
        ("fraction", {"fraction": 0.49}, {(0, 0), (1, 2)}),
        ("fraction", {"fraction": 0.01}, {(0, 0)}),
        ("fraction", {"fraction": 1}, EVERY),
        ("least", {"k": 2}, {(0, 1), (1, 1)}),
        ("near_zero", {"k": 2}, {(0, 2), (1, 1)}),
        ("near_zero", {"k": 3}, {(0, 2), (1, 1), (1, 0)}),
        ("threshold", {"threshold": 2.0}, {(0, 0), (1, 2), (1, 0)}),
        ("threshold", {"threshold": 9.0}, set()),
        ("all", {}, EVERY),
        ("none", {}, set()),
    ],
)
def test_a_rule_takes_the_heads_it_says(rule, settings, heads):
    circuit = select(TABLE, rule, **settings)
    assert circuit.heads == heads == set(circuit.why) and len(circuit) == len(heads)
    assert circuit.rule == {"name": rule, **settings, "method": "cdt"}
    assert circuit.model == {"model": "m", "model_type": "llama", "n_layers": 2, "n_heads": 3}


def test_every_rule_is_tested_here():
    assert set(RULES) == {
        "threshold",
        "top",
        "fraction",
        "near_zero",
        "least",
        "random",
        "advised",
        "all",
        "none",
    }


@pytest.mark.parametrize("k", range(7))
def test_random_circuits_are_seeded_and_of_the_size_asked_for(k):
    drawn = [select(TABLE, "random", k=k, seed=seed).heads for seed in range(8)]
    assert (
        all(len(heads) == k and heads <= EVERY for heads in drawn)
        and drawn[3] == select(TABLE, "random", k=k, seed=3).heads
    )
    assert (len(set(drawn)) > 1) == (0 < k < 6)


def test_ties_go_by_layer_and_head():
    flat = made([[1.0, 1.0], [1.0, 1.0]])
    assert (
        select(flat, "top", k=2).heads == {(0, 0), (0, 1)} == select(flat, "near_zero", k=2).heads
    )
    assert select(flat, "least", k=1).heads == {(1, 1)}
    assert select(made([[1.0, 2.0], [2.0, -2.0]]), "top", k=1).heads == {(0, 1)}


@pytest.mark.parametrize(
    ("fraction", "n", "size"),
    [
        (0.02, 336, 6),
        (0.02, 12, 1),
        (0.29, 100, 29),
        (0.07, 100, 7),
        (0.0001, 5, 1),
        (1, 12, 12),
        (0.999, 12, 11),
    ],
)
def test_a_fraction_is_floored_and_at_least_one(fraction, n, size):
    assert heads_in_fraction(fraction, n) == size


def test_why_tells_rank_or_reason():
    assert select(TABLE, "top", k=2).why == {(0, 0): "rank 1 by score", (1, 2): "rank 2 by score"}
    assert "seed 5" in next(iter(select(TABLE, "random", k=1, seed=5).why.values()))


@pytest.mark.parametrize(
    ("rule", "settings", "words"),
    [
        ("best", {}, ("'best'", "threshold, top")),
        ("top", {}, ("size", "k=", "fraction=")),
        ("top", {"k": 7}, ("k is 7", "0 to 6")),
        ("top", {"k": -1}, ("k is -1",)),
        ("least", {"fraction": 0}, ("fraction is 0",)),
        ("fraction", {"fraction": 1.5}, ("fraction is 1.5",)),
        ("threshold", {}, ("threshold=",)),
        ("top", {"n": 3}, ("'n'", "k, fraction, threshold, seed")),
    ],
)
def test_wrong_settings_of_a_rule_are_refused(rule, settings, words):
    said(lambda: select(TABLE, rule, **settings), *words)
