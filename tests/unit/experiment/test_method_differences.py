"""Verdicts on pairs of methods: by adjusted p, over all pairs that are shown."""

import pytest

from ctsft.experiment.method_differences import judged


def pair(one, other, target, source, p=0.0001):
    return {
        "setting": "s",
        "one": one,
        "other": other,
        "target_mean": target,
        "source_mean": source,
        "target_p": p if target else 0.8,
        "source_p": p if source else 0.8,
    }


@pytest.mark.parametrize(
    "target, source, wanted",
    [
        (0.1, 0, "better on target"),
        (0.1, 0.1, "better on target and source"),
        (0, -0.1, "worse on source"),
        (0, 0, "no difference beyond chance"),
        (0.1, -0.1, "trades: target better, source worse"),
    ],
)
def test_the_verdict_speaks_of_adjusted_p_only(target, source, wanted):
    (difference,) = judged([pair("a", "b", target, source)])
    assert difference["verdict"] == wanted


def test_all_pairs_that_are_shown_are_judged_together():
    shown = [pair("a", other, 0.1, 0, p=0.01) for other in "bcd"]
    assert {one["verdict"] for one in judged(shown[:1])} == {"better on target"}
    assert {one["verdict"] for one in judged(shown)} == {"no difference beyond chance"}
    both = [shown[0], pair("b", "a", -0.1, 0, p=0.01)]
    assert [one["verdict"] for one in judged(both)] == [
        "better on target",
        "worse on target",
    ], "a pair and its reverse are one test"
    few = pair("a", "b", 0.1, 0.1) | {"target_p": None, "source_p": None}
    assert judged([few])[0]["verdict"] == "fewer than 3 languages or seeds"
