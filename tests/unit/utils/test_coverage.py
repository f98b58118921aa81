"""Simulations, seeded: what an interval covers, and how often a table of equal methods holds a
false verdict. The percentile bootstrap over few seeds, and tests without Holm, are the controls.
"""

import numpy as np
import pytest
from scipy.stats import bootstrap

from ctsft.experiment.method_differences import SIDES, paired_differences
from ctsft.utils import paired_rows, statistics

SEEDS = (31, 777, 2025, 12345)
LANGUAGES = ("a", "b", "c", "d")


def covered(interval, n: int, times: int = 1500) -> float:
    """The share of intervals of n normal values that hold their true mean, 0."""
    draws = np.random.default_rng(n).normal(size=(times, n))
    low, high = np.array([interval(values) for values in draws]).T
    return float(((low <= 0) & (high >= 0)).mean())


def by_t(values):
    one = statistics.spread(values)
    return one.low, one.high


def by_percentiles(values):
    draws = np.random.default_rng(0).choice(values, (200, len(values))).mean(1)
    return tuple(np.quantile(draws, [0.025, 0.975]))


@pytest.mark.parametrize("n", [3, 4, 6])
def test_intervals_over_few_seeds_cover_the_mean_as_they_say(n):
    assert 0.93 <= covered(by_t, n) <= 0.97
    assert covered(by_percentiles, n, 400) < 0.93, "the control, a percentile bootstrap, does not"


def test_the_control_is_what_scipy_calls_a_percentile_bootstrap():
    values = np.array([0.1, 0.4, 0.2, 0.7])
    ours = by_percentiles(values)
    theirs = bootstrap((values,), np.mean, method="percentile", rng=1).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.05)


def table_rows(rng, methods: int = 9) -> list[dict]:
    """An experiment whose methods are equal: what languages and seeds share, and each cell's own
    chance.
    """
    shared = rng.normal(0, 0.05, (2, len(LANGUAGES), len(SEEDS)))
    # a method suits a language or not
    of_method = rng.normal(0, 0.01, (methods, 2, len(LANGUAGES), 1))
    cells = 0.6 + shared + of_method + rng.normal(0, 0.02, (methods, 2, len(LANGUAGES), len(SEEDS)))
    return [
        {
            "setting": "s",
            "method": f"m{method}",
            "target": LANGUAGES[language],
            "n": 25,
            "seed": SEEDS[seed],
            "target_after": cells[method, 0, language, seed],
            "source_after": cells[method, 1, language, seed],
        }
        for method, language, seed in np.ndindex(methods, len(LANGUAGES), len(SEEDS))
    ]


def test_a_table_of_nine_equal_methods_holds_a_false_verdict_in_at_most_five_of_a_hundred():
    rng = np.random.default_rng(5)
    tables = [paired_differences(table_rows(rng)) for _ in range(60)]
    false = [any(pair["verdict"] != NONE for pair in table) for table in tables]
    assert np.mean(false) <= 0.05
    unadjusted = [
        any(pair[f"{side}_p"] < 0.05 for pair in table for side in SIDES) for table in tables
    ]
    assert np.mean(unadjusted) > 0.5, "the control: each test on its own"


NONE = "no difference beyond chance"


def test_a_real_difference_still_has_a_verdict():
    rows = table_rows(np.random.default_rng(6), methods=3)
    for row in rows:
        row["target_after"] += 0.3 * (row["method"] == "m0")
    verdicts = {(pair["one"], pair["other"]): pair["verdict"] for pair in paired_differences(rows)}
    assert verdicts["m0", "m1"] == "better on target" and verdicts["m1", "m0"] == "worse on target"
    assert verdicts["m1", "m2"] == NONE


def answers(rng, seeds: int, rows: int = 100) -> np.ndarray:
    """[seed, row]: how two equal methods differ, as shares of a mean over four parallel languages:
    a row's translations go together, and each seed has a shift of its own.
    """
    lean = rng.choice([-0.6, 0.0, 0.6], rows, p=[0.1, 0.8, 0.1])
    shift = rng.normal(0, 0.01, (seeds, 1, 1))
    chance = np.clip(0.05 + np.stack([lean + shift, -lean - shift]), 0, 1)
    draw = rng.random((seeds, len(LANGUAGES), rows))
    won = draw < chance[0]
    lost = draw > 1 - chance[1]
    return (won.astype(float) - lost).mean(1) / rows


def test_the_bootstrap_over_rows_and_seeds_covers_the_mean_of_these_languages(monkeypatch):
    monkeypatch.setattr(paired_rows, "DRAWS", 999)
    rng = np.random.default_rng(7)
    ends, alone = [], []
    for _ in range(400):
        shares = answers(rng, 4)
        interval = paired_rows.over_rows_and_seeds(shares)
        ends.append(interval.low <= 0 <= interval.high)
        low, high = by_percentiles(shares.sum(1))
        alone.append(low <= 0 <= high)
    assert 0.93 <= np.mean(ends) <= 0.97
    assert np.mean(alone) < 0.85, "the control: the same rows in every draw"
