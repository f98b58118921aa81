"""Why a head is in, and what would bring it in: what a sentence promises is then done, and has to
come true.
"""

import math
import re
from dataclasses import replace

import pytest

from ctsft.circuit.circuit import LOGITS, Circuit
from ctsft.circuit.selection import select
from explorer.text import membership
from support.scores import made

SCORES = made(
    [[3.0, -4.0, 0.1], [2.0, -0.1, 2.5]], model="m", model_type="llama", n_layers=2, n_heads=3
)


EVERY = [(layer, head) for layer in range(2) for head in range(3)]


@pytest.mark.parametrize(
    ("rule", "settings", "head", "words"),
    [
        ("top", {"k": 2}, (0, 0), "In: score 3 is rank 1 of 6, and the rule selects the first 2."),
        ("top", {"k": 2}, (1, 0), "Out: score 2 is rank 3 of 6; it enters at k = 3."),
        (
            "threshold",
            {"threshold": 2.25},
            (1, 2),
            "In: score 2.5 is 0.25 above the threshold of 2.25 (rank 2 of 6).",
        ),
        (
            "threshold",
            {"threshold": 2.25},
            (1, 0),
            "Out: score 2 is 0.25 below the threshold of 2.25 (rank 3 of 6); it enters at 2.",
        ),
        (
            "fraction",
            {"fraction": 0.34},
            (0, 0),
            "In: score 3 is rank 1 of 6, and a share of 34% selects the first 2.",
        ),
        (
            "fraction",
            {"fraction": 0.34},
            (1, 0),
            "Out: score 2 is rank 3 of 6; it enters at a share of 50 %.",
        ),
        (
            "least",
            {"k": 1},
            (0, 1),
            "In: score −4 is rank 1 from the bottom, and this control selects the first 1.",
        ),
        (
            "least",
            {"k": 1},
            (1, 1),
            "Out: score −0.1 is rank 2 from the bottom; it enters at k = 2.",
        ),
        (
            "near_zero",
            {"k": 1},
            (1, 1),
            "Out: score −0.1 is rank 2 by closeness to zero; it enters at k = 2.",
        ),
        ("all", {}, (1, 1), "In: this rule selects every head."),
        ("none", {}, (1, 1), "Out: this rule selects no head; a click on the map, or a tick"),
    ],
)
def test_sentences(rule, settings, head, words):
    assert membership.sentence(SCORES, select(SCORES, rule, **settings), head).startswith(words)


def test_random_names_seed_and_odds():
    circuit = select(SCORES, "random", k=2, seed=5)
    for head in EVERY:
        words = membership.sentence(SCORES, circuit, head)
        assert (
            words.startswith(
                "In: seed 5 drew it" if head in circuit else "Out: seed 5 did not draw it"
            )
            and "2 in 6" in words
        )


@pytest.mark.parametrize("rule", ["top", "least", "near_zero"])
@pytest.mark.parametrize("k", range(6))
def test_at_the_k_it_names_a_head_does_enter(rule, k):
    circuit = select(SCORES, rule, k=k)
    for head in set(EVERY) - circuit.heads:
        enters = int(
            re.search(r"enters at k = (\d+)", membership.sentence(SCORES, circuit, head)).group(1)
        )
        assert head in select(SCORES, rule, k=enters) and head not in select(
            SCORES, rule, k=enters - 1
        )


def test_at_the_share_it_names_a_head_does_enter():
    circuit = select(SCORES, "fraction", fraction=0.01)
    for head in set(EVERY) - circuit.heads:
        share = (
            int(re.search(r"share of (\d+) %", membership.sentence(SCORES, circuit, head)).group(1))
            / 100
        )
        assert head in select(SCORES, "fraction", fraction=share) and head not in select(
            SCORES, "fraction", fraction=share - 0.01
        )


def test_hand_edits_say_what_the_rule_alone_does():
    circuit = select(SCORES, "top", k=2).edit({(1, 0)}, {(0, 0)})
    assert (
        membership.sentence(SCORES, circuit, (1, 0))
        == "In: added by hand. The rule alone does not select it: score 2 is rank 3 of 6; it"
        " enters at k = 3."
    )
    assert membership.sentence(SCORES, circuit, (0, 0)).startswith(
        "Out: removed by hand. The rule alone selects it: score 3 is rank 1"
    )


def test_discovered_heads_name_iteration_and_target():
    edges = (
        ((1, 2), LOGITS, 2.5),
        ((1, 0), LOGITS, 2.0),
        ((0, 1), (1, 2), 0.01),
        ((0, 1), (1, 0), 0.03),
    )
    reasons = {
        (1, 2): "iteration 0: rank 1 for the logits, score 2.5",
        (1, 0): "iteration 0: rank 2 for the logits, score 2",
        (0, 1): "iteration 1: rank 1 for the heads of iteration 0, score 0.02",
    }
    circuit = Circuit(
        frozenset(reasons),
        reasons,
        rule={"name": "discover", "depth": 1, "fraction": 0.34},
        edges=edges,
    )
    assert (
        membership.sentence(SCORES, circuit, (1, 2))
        == "In: discovery iteration 0: rank 1 for the logits, score 2.5."
    )
    assert (
        membership.sentence(SCORES, circuit, (0, 1))
        == "In: discovery iteration 1: rank 1 for the heads of iteration 0, score 0.02; most"
        " relevant for L1.H0 (relevance 0.03, of 2 targets)."
    )
    assert membership.sentence(SCORES, circuit, (0, 0)).startswith(
        "Out: no discovery iteration selected it (rank 1 by the scores shown;"
        " iteration 0 selected 2)"
    )
    assert "added by hand" in membership.sentence(SCORES, circuit.edit({(0, 0)}), (0, 0))


def test_heads_without_a_score_and_rules_of_other_files_have_a_sentence_too():
    per_example = SCORES.per_example.clone()
    per_example[:, 1] = math.nan
    some = replace(SCORES, per_example=per_example)
    assert membership.sentence(some, select(some, "top", k=1), (1, 0)) == "Out: it has no score."
    assert (
        membership.sentence(some, select(some, "all"), (1, 0))
        == "In: this rule selects every head."
    )
    loaded = Circuit(frozenset({(0, 0)}), {(0, 0): "because"}, rule={"name": "of mine"})
    assert (
        membership.sentence(SCORES, loaded, (0, 0)) == "In: because."
        and membership.sentence(SCORES, loaded, (0, 1)) == "Out: its rule does not select it."
    )
