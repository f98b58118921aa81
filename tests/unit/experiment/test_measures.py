"""Measures and statistics of an experiment, by hand."""

import math
import statistics

import pytest

from ctsft.model.evaluation import metric_changes, metrics
from ctsft.utils.statistics import paired_difference, spread, spread_by_group


def test_measures_are_those_of_the_confusion_counted_by_hand():
    gold, answers = list("aaaabbc"), list("aabbbac")
    measured = metrics(gold, answers, ("a", "b", "c", "d"))
    # 2 tp / (gold + predicted)
    f1 = [2 * 2 / (4 + 3), 2 * 1 / (2 + 3), 1.0]  # no row has a d
    assert (
        measured["accuracy"] == 4 / 7
        and measured["rows"] == 7
        and measured["macro_f1"] == pytest.approx(sum(f1) / 3)
        and measured["right"] == "1100101"
    )
    assert measured["recall"] == {"a": 0.5, "b": 0.5, "c": 1.0, "d": None}
    assert math.isnan(metrics([], [], ("a",))["accuracy"])
    after = {"s": {"accuracy": 0.5, "macro_f1": 0.4}, "t": {"accuracy": 0.75, "macro_f1": 0.7}}
    before = {"s": {"accuracy": 0.75, "macro_f1": 0.7}, "t": {"accuracy": 0.25, "macro_f1": 0.1}}
    changes = metric_changes(before, after, "s", "t")
    assert (changes["forgetting"]["accuracy"], changes["plasticity"]["accuracy"]) == (0.25, 0.5)
    assert changes["plasticity"]["macro_f1"] == pytest.approx(0.6)


def test_statistics_by_hand():
    one = spread([0.5, 0.7, 0.6, 0.8])
    assert one.mean == pytest.approx(0.65) and one.sd == pytest.approx(
        statistics.stdev([0.5, 0.7, 0.6, 0.8])
    ) == pytest.approx(0.12909944)
    # 3.182 is the .975 quantile of t with 3 degrees of freedom
    assert one.high - one.mean == pytest.approx(3.182446 * one.sd / 2) and one.count == 4
    assert (spread([0.4]).sd, spread([0.3, 0.3]).sd) == (None, 0)
    with pytest.raises(statistics.StatisticsError):
        spread([])
    rows = [
        {"method": method, "target": "t", "n": 5, "seed": seed, "x": x}
        for method, values in {"a": [1, 2, 3], "b": [0, 1, 5]}.items()
        for seed, x in enumerate(values)
    ]
    difference = paired_difference(rows, "a", "b", lambda row: row["x"])
    assert difference.over == spread([1, 1, -2])
    assert (difference.unit, difference.pairs) == ("seeds", 3)
    assert (
        paired_difference(rows[:3], "a", "b", lambda row: row["x"]) is None
        and paired_difference(rows[:4], "a", "b", lambda row: row["x"]).pairs == 1
    )
    assert spread_by_group(rows, ("method",), lambda row: row["x"])["b",].mean == 2
