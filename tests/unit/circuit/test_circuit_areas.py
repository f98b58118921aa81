"""CPR and CMD: areas that can be computed by hand, intervals, and the ranking that is named."""

import numpy as np
import pytest

from ctsft.circuit.circuit_areas import (
    areas,
    best,
    interval,
    p_of,
    random_areas,
    ratios,
    row_draws,
    verdict,
)

SHARES = np.array([0, 0.1, 0.2, 0.5, 1])


@pytest.mark.parametrize(
    ("curve", "cpr", "cmd"),
    [
        (SHARES, 0.5, 0.5),  # f(k) = k
        (np.ones(5), 1.0, 0.0),
        ([0, 1, 1, 1, 1], 0.95, 0.05),
        # above the model: rewarded by CPR, not by CMD
        ([0, 1, 1.5, 1.5, 1], 0.05 + 0.125 + 0.45 + 0.625, 0.05 + 0.025 + 0.15 + 0.125),
        # the wrong way
        ([0, -1, -1, 0, 1], -0.05 - 0.1 - 0.15 + 0.25, 0.15 + 0.2 + 0.45 + 0.25),
    ],
)
def test_areas_by_hand(curve, cpr, cmd):
    by_measure = areas(np.array(curve, dtype=float), SHARES)
    assert by_measure == {"cpr": pytest.approx(cpr), "cmd": pytest.approx(cmd)}


def test_faithfulness_of_draws_is_that_of_their_mean_margins():
    margins = np.array([[1.0, 3.0], [2.0, 5.0]])  # [size, row]: no head, one head
    full = np.array([4.0, 6.0])
    counts = np.array([[0.5, 0.5], [1.0, 0.0]])
    quotients = ratios(counts @ margins.T, counts @ full)
    assert quotients == pytest.approx(np.array([[0, 1.5 / 3], [0, 1 / 3]]))
    assert np.isnan(ratios(np.array([2.0, 3.0]), 2.0)).all(), "full and empty agree"


def test_draws_are_of_rows_with_replacement():
    draws = row_draws(5, draws=400)
    assert np.allclose(draws.sum(1), 1) and ((draws * 5) % 1 < 1e-9).all()
    # at most 5 of 5 rows in a draw, and 63 % of the rows on average
    assert (draws > 0).mean() == pytest.approx(1 - 0.8**5, abs=0.05)


def test_the_interval_is_the_middle_of_the_draws():
    drawn = np.append(np.arange(1001.0), np.nan)
    assert interval(500, drawn) == pytest.approx({"value": 500, "low": 25, "high": 975})
    assert np.isnan(interval(1, np.array([np.nan]))["low"])


def test_the_best_ranking_is_named_with_those_that_chance_does_not_tell_from_it():
    noise = np.random.default_rng(0).normal(0, 0.01, 2000)
    measured = {
        name: {"cpr": value, "cmd": 1 - value}
        for name, value in (("a", 0.9), ("b", 0.895), ("c", 0.5))
    }
    drawn = {
        "a": {"cpr": 0.9 + noise, "cmd": 0.1 - noise},
        "b": {"cpr": np.roll(0.895 + noise, 7), "cmd": np.roll(0.105 - noise, 7)},
        "c": {"cpr": 0.5 + noise, "cmd": 0.5 - noise},
    }
    assert best("cpr", measured, drawn) == {"method": "a", "value": 0.9, "ties": ["b"]}
    assert best("cmd", measured, drawn) == {
        "method": "a",
        "value": pytest.approx(0.1),
        "ties": ["b"],
    }
    # the same rows in every draw: a difference of the same size on each of them is no chance
    drawn["b"]["cpr"] = drawn["a"]["cpr"] - 0.005
    assert best("cpr", measured, drawn)["ties"] == []
    measured["b"]["cpr"] = float("nan")
    assert best("cpr", measured, drawn) is None
    assert p_of(np.zeros(10)) == 1


def test_the_areas_of_random_circuits_are_means():
    bands = [{"size": 5, "margin": {"mean": 0.2}, "distance": 0.9}]
    assert random_areas(bands, 10) == {
        "cpr": pytest.approx(0.05 + 0.3),
        "cmd": pytest.approx(0.475 + 0.225),
    }
    assert random_areas([], 10) is None


def one(method, value, *ties):
    return {"method": method, "value": value, "ties": list(ties)}


@pytest.mark.parametrize(
    ("best_by", "text"),
    [
        (
            {"cpr": one("ig", 1.042), "cmd": one("ig", 0.09)},
            "IG is the ranking to trust by both measures (best CPR 1.04, best CMD 0.09).",
        ),
        (
            {"cpr": one("ig", 1.042, "ablation"), "cmd": one("cdt", 0.09)},
            "CPR and CMD disagree: trust IG where the question is which heads have the largest"
            " effect (best CPR, 1.04), and CDT where the circuit should do what the model does"
            " (best CMD, 0.09). Within chance on these rows: the lead by CPR over ABLATION.",
        ),
        ({"cpr": None, "cmd": None}, ""),
        ({}, ""),
    ],
)
def test_the_verdict_is_computed_from_the_numbers(best_by, text):
    assert verdict({"best": best_by}, str.upper) == text
