"""The current circuit: the rule's heads, the clicks, the sliders, and undo over all of them."""

import pytest
import streamlit as st
import torch

from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from explorer.session import binding, circuit, view

RANKING = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]  # scores 5, 4, 3, 2, -1, -6


ABOUT = {
    "model": "m",
    "model_type": "qwen2",
    "n_layers": 2,
    "n_heads": 3,
    "n_kv_heads": 3,
    "task": "t",
}


class Session(dict):
    __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__


@pytest.fixture(autouse=True)
def session(monkeypatch) -> Session:
    session_state = Session()
    monkeypatch.setattr(st, "session_state", session_state)
    return session_state


@pytest.fixture
def scores() -> Scores:
    values = torch.tensor([[5.0, 4.0, 3.0], [2.0, -1.0, -6.0]])
    return Scores(
        values.repeat(2, 1, 1), ["a", "b"], ["positive", "negative"], "cdt", ScoreConfig(), ABOUT
    )


def chosen(scores) -> list[int]:
    """The current circuit, by rank from 0."""
    return sorted(RANKING.index(head) for head in circuit.current(scores).heads)


def slide(session, name, value):
    """What a widget does when it is moved."""
    widget = binding.bind(name)
    session[widget["key"]] = value
    widget["on_change"]()


@pytest.mark.parametrize(
    "rule, settings, ranks",
    [
        ("top", {"k": 2}, [0, 1]),
        ("top", {"k": 99}, [0, 1, 2, 3, 4, 5]),
        ("near_zero", {"k": 2}, [3, 4]),
        ("least", {"k": 2}, [4, 5]),
        ("fraction", {"fraction": 0.5}, [0, 1, 2]),
        ("fraction", {"fraction": 0.01}, [0]),
        ("all", {}, [0, 1, 2, 3, 4, 5]),
        ("none", {}, []),
        ("threshold", {"threshold_level": 1.0}, [0]),
        ("threshold", {"threshold_level": 0.0}, [0, 1, 2, 3, 4, 5]),
        ("threshold", {"threshold_level": 8 / 11}, [0, 1, 2, 3]),
        ("threshold", {"threshold_level": 8.1 / 11}, [0, 1, 2]),
    ],
)
def test_rules_read_their_own_setting(scores, rule, settings, ranks):
    binding.put(rule=rule, **settings)
    assert chosen(scores) == ranks


def test_random_draws_k_heads_and_others_with_another_seed(scores):
    drawn = set()
    for seed in range(8):
        binding.put(rule="random", k=3, random_seed=seed)
        assert len(chosen(scores)) == 3 and chosen(scores) == chosen(scores)
        drawn.add(tuple(chosen(scores)))
    assert len(drawn) > 3


def test_the_sliders_ends_are_scores_that_exist(scores):
    assert (circuit.threshold(scores, 0.0), circuit.threshold(scores, 1.0)) == (-6.0, 5.0)
    nan = scores.per_example.clone()
    nan[:, 1] = float("nan")  # layer 1 was no source
    assert (
        circuit.threshold(
            Scores(nan, scores.examples, scores.labels, "cdt", ScoreConfig(), ABOUT), 0.0
        )
        == 3.0
    )


def test_a_click_toggles_and_a_second_one_takes_it_back(scores):
    binding.put(k=2)
    for head, after in ((RANKING[0], [1]), (RANKING[5], [0, 1, 5])):
        circuit.toggle(head, scores)
        assert chosen(scores) == after and binding.view().head == head
        circuit.toggle(head, scores)
        assert chosen(scores) == [0, 1] and not binding.view().added | binding.view().removed


def test_hand_edits_stay_when_the_slider_moves(session, scores):
    binding.put(k=2)
    circuit.toggle(RANKING[0], scores)
    circuit.toggle(RANKING[4], scores)
    by_k = {}
    for k in (0, 1, 3, 5, 6, 2):
        slide(session, "k", k)
        by_k[k] = chosen(scores)
    assert by_k == {0: [4], 1: [4], 3: [1, 2, 4], 5: [1, 2, 3, 4], 6: [1, 2, 3, 4, 5], 2: [1, 4]}


@pytest.mark.parametrize("first, second, ends_inside", [(2, 5, False), (5, 2, True)])
def test_the_last_click_counts_wherever_the_slider_goes_afterwards(
    session, scores, first, second, ends_inside
):
    """Rank 3 is outside the rule at k = 2 and inside at k = 5: clicked at one, then at the
    other.
    """
    slide(session, "k", first)
    # added at 2, or removed at 5
    circuit.toggle(RANKING[3], scores)
    slide(session, "k", second)
    circuit.toggle(RANKING[3], scores)
    for k in (second, first, second, 0, 6):
        slide(session, "k", k)
        assert (3 in chosen(scores)) == ends_inside, k


def test_undo_goes_back_over_rule_slider_and_clicks_in_order(session, scores):
    binding.put(k=2)
    seen = [chosen(scores)]
    for change in (
        lambda: circuit.toggle(RANKING[5], scores),
        lambda: slide(session, "k", 3),
        lambda: slide(session, "rule", "least"),
        lambda: circuit.toggle(RANKING[5], scores),
        lambda: slide(session, "rule", "none"),
    ):
        change()
        seen.append(chosen(scores))
    assert seen == [[0, 1], [0, 1, 5], [0, 1, 2, 5], [3, 4, 5], [3, 4], []]
    for expected in seen[-2::-1]:
        binding.undo()
        assert chosen(scores) == expected
    binding.undo()  # nothing left
    assert chosen(scores) == [0, 1] and binding.view().past == []


def test_redo_goes_forward_again_until_something_else_is_chosen(session, scores):
    binding.put(k=2)
    for change in (
        lambda: circuit.toggle(RANKING[5], scores),
        lambda: slide(session, "k", 3),
        lambda: slide(session, "rule", "least"),
    ):
        change()
    for _ in range(3):
        binding.undo()
    redone = []
    for _ in range(4):  # one more than there is
        binding.redo()
        redone.append(chosen(scores))
    assert (
        redone == [[0, 1, 5], [0, 1, 2, 5], [3, 4, 5], [3, 4, 5]] and len(binding.view().past) == 3
    )
    binding.undo()
    binding.undo()
    slide(session, "k", 4)
    assert binding.view().future == [] and chosen(scores) == [0, 1, 2, 3, 5]
    binding.redo()
    assert chosen(scores) == [0, 1, 2, 3, 5], "a new choice forgets what was undone"


def test_a_discovered_circuit_is_a_rule_with_hand_edits_and_undo_on_top(session, scores):
    discovered = Circuit(frozenset({RANKING[4], RANKING[1]}), rule={"name": "discover"})
    binding.remember()
    binding.put(rule="discover", discovered=discovered)
    assert chosen(scores) == [1, 4]
    circuit.toggle(RANKING[4], scores)
    circuit.toggle(RANKING[0], scores)
    assert chosen(scores) == [0, 1] and circuit.current(scores).removed == {RANKING[4]}
    for _ in range(3):
        binding.undo()
    assert binding.view().rule == "top" and binding.view().discovered is None
    binding.redo()
    binding.forget_circuit()
    assert (
        binding.view().rule == "top"
        and binding.view().discovered is None
        and binding.view().future == []
    )


def test_undo_puts_the_widgets_back_too(session, scores):
    slide(session, "k", 5)
    assert session["w_k"] == 5
    binding.undo()
    assert binding.bind("k")["key"] == "w_k" and session["w_k"] == view.View().k


def test_other_settings_are_no_step_of_undo(session, scores):
    slide(session, "flip", True)
    assert binding.view().flip and binding.view().past == []
    slide(session, "k", 1)
    binding.put(flip=False)
    binding.undo()
    assert binding.view().flip is False and binding.view().k == view.View().k


def test_undo_remembers_a_hundred_steps(session):
    for k in range(150):
        slide(session, "k", k)
    assert len(binding.view().past) == 100 and binding.view().past[-1]["k"] == 148


def test_a_widget_forgotten_with_its_page_gets_its_value_back(session):
    slide(session, "k", 4)
    # streamlit does, when another page is shown
    del session["w_k"]
    binding.bind("k")
    assert session["w_k"] == 4


def test_a_value_put_by_another_callback_of_the_same_event_stays(session):
    changed = binding.bind("head")["on_change"]
    session["w_head"] = (1, 1)
    binding.put(head=(0, 2))  # the click on the map, which Streamlit calls first
    changed()
    assert binding.view().head == (0, 2)
    session["w_head"] = (1, 1)
    changed()
    assert binding.view().head == (1, 1)


def test_what_follows_a_change_sees_the_new_value(session):
    seen = []
    widget = binding.bind("k", then=lambda: seen.append(binding.view().k))
    session["w_k"] = 3
    widget["on_change"]()
    assert seen == [3]


def test_another_model_forgets_the_hand_edits_and_undo(scores):
    binding.put(k=2)
    circuit.toggle(RANKING[5], scores)
    binding.forget_circuit()
    assert chosen(scores) == [0, 1] and binding.view().head is None and binding.view().past == []
