"""The order in which each rule takes heads, and the settings for a place in it."""

import random

import pytest
import streamlit as st
import torch

from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.circuit.advice_ranking import Ranking
from ctsft.circuit.selection import select
from explorer.session import binding, circuit, rule_order

LAYERS, HEADS = 3, 5
ABOUT = {
    "model": "m",
    "model_type": "qwen2",
    "n_layers": LAYERS,
    "n_heads": HEADS,
    "n_kv_heads": HEADS,
    "task": "t",
}


@pytest.fixture(autouse=True)
def session(monkeypatch):
    session_state = type(
        "Session", (dict,), {"__getattr__": dict.__getitem__, "__setattr__": dict.__setitem__}
    )()
    monkeypatch.setattr(st, "session_state", session_state)
    return session_state


def made(values: torch.Tensor) -> Scores:
    return Scores(values[None], ["a"], ["positive"], "cdt", ScoreConfig(), ABOUT)


DRAWN = torch.randn(LAYERS, HEADS, generator=torch.Generator().manual_seed(3))
TIED = torch.tensor(
    [[2.0, 2.0, 1.0, 1.0, 1.0], [0.0, -1.0, -1.0, -2.0, 3.0], [3.0, 0.5, 0.5, 4, -2]]
)
GAPS = torch.where(DRAWN > 1, torch.nan, DRAWN)  # heads without a score


@pytest.mark.parametrize("values", [DRAWN, TIED, GAPS, torch.zeros(LAYERS, HEADS)])
@pytest.mark.parametrize("rule", ["top", "threshold", "fraction", "near_zero", "least"])
def test_settings_for_a_cut_select_exactly_the_heads_before_it(rule, values):
    scores = made(values)
    binding.put(rule=rule)
    order = rule_order.order_of(scores, circuit.select_by_rule(scores))
    assert set(order.heads) == set(scores.ranking())
    for cut in range(len(order.heads) + 1):
        binding.put(**rule_order.settings_for(rule, scores, order, cut))
        selected = circuit.select_by_rule(scores)
        again = rule_order.order_of(scores, selected)
        assert selected.heads == set(order.heads[: again.cut])
        expected = rule_order.tied(scores, list(order.heads), max(cut, order.least), rule)
        assert again.cut == expected, cut


def test_a_threshold_takes_equal_scores_together_and_never_none():
    scores = made(TIED)
    binding.put(rule="threshold")
    order = rule_order.order_of(scores, circuit.select_by_rule(scores))
    cuts = {
        rule_order.tied(scores, list(order.heads), max(cut, order.least), "threshold")
        for cut in range(16)
    }
    assert cuts == {1, 3, 5, 8, 10, 11, 13, 15} and order.least == 1


@pytest.mark.parametrize("rule", ["random", "all", "none", "advised"])
def test_other_rules_have_no_line(rule):
    scores = made(DRAWN)
    binding.put(rule=rule)
    settings = {"k": 2} if rule == "random" else {}
    chosen = select(scores, "none" if rule == "advised" else rule, **settings)
    order = rule_order.order_of(scores, chosen)
    assert order.cut is None and list(order.heads) == scores.ranking()


def test_advice_brings_an_order_of_its_own():
    scores, heads = made(DRAWN), [(layer, head) for layer in range(3) for head in range(5)]
    random.Random(0).shuffle(heads)
    rows = tuple(
        {"layer": layer, "head": head, "value": 1.0, "gradient": 1.0, "fisher": 1.0, "rank": i}
        for i, (layer, head) in enumerate(heads, 1)
    )
    advice = Ranking(rows)
    for k in (0, 4, 15):
        chosen = select(scores, "advised", k=k, advice=advice)
        order = rule_order.order_of(scores, chosen, advice.order)
        assert order.cut == k and chosen.heads == set(order.heads[:k])
        assert rule_order.settings_for("advised", scores, order, 9) == {"k": 9}


def test_edits_from_the_browser_leave_out_heads_that_do_not_exist():
    change = {"added": [[0, 1], [9, 9], [-1, 0]], "removed": [[2, 4]]}
    assert rule_order.edits_of(change, (LAYERS, HEADS)) == {
        "added": {(0, 1)},
        "removed": {(2, 4)},
    }
    assert rule_order.edits_of({}, (LAYERS, HEADS)) == {"added": set(), "removed": set()}
