"""Tests on paired rows, by hand and by scipy."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from ctsft.utils import paired_rows
from ctsft.utils.statistics import holm, paired_difference, spread


@pytest.mark.parametrize("lost, won", [(0, 0), (3, 3), (1, 9), (29, 14), (0, 6)])
def test_mcnemar_is_scipys_binomial_test(lost, won):
    wanted = binomtest(lost, lost + won).pvalue if lost + won else 1.0
    before = "1" * lost + "0" * won + "1100"
    after = "0" * lost + "1" * won + "1100"
    change = paired_rows.change(before, after)
    assert (change.lost, change.won) == (lost, won)
    assert change.p == pytest.approx(wanted)
    both = paired_rows.pairwise_p([before, after, before])
    assert both[0, 1] == both[1, 0] == pytest.approx(wanted) and both[0, 2] == 1


def test_answers_to_other_rows_are_refused():
    with pytest.raises(ValueError, match="2 and 3 answers"):
        paired_rows.change("10", "101")


def test_holm_is_the_example_of_the_books():
    # p .01, .04, .03, .005 at four tests: .03, .06, .06, .02
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.7, 0.9]) == [1.0, 1.0]


def test_two_values_have_no_interval_and_three_have_students():
    assert (spread([0.1, 0.3]).low, spread([0.1, 0.3]).p) == (None, None)
    three = spread([0.1, 0.2, 0.3])
    theirs = ttest_1samp([0.1, 0.2, 0.3], 0)
    interval = theirs.confidence_interval(0.95)
    assert (three.low, three.high) == pytest.approx((interval.low, interval.high))
    assert three.p == pytest.approx(theirs.pvalue)
    # 4.303 is the .975 quantile of t with 2 degrees of freedom
    assert three.high - three.mean == pytest.approx(4.302653 * 0.1 / 3**0.5)
    assert spread([0.0, 0.0, 0.0]).p == 1 and spread([0.5, 0.5, 0.5]).p == 0


def cells(targets, seeds, value) -> list[dict]:
    return [
        {"method": method, "target": target, "n": n, "seed": seed, "x": value(method, target, seed)}
        for method in "ab"
        for target in targets
        for n in (25, 100)
        for seed in seeds
    ]


def test_cells_of_one_language_are_averaged_first():
    def value(method, target, seed):
        return (method == "a") * ({"t": 0.1, "u": 0.2, "v": 0.3}[target] + seed / 100)

    difference = paired_difference(cells("tuv", (1, 2), value), "a", "b", lambda row: row["x"])
    assert (difference.unit, difference.over.count, difference.pairs) == ("languages", 3, 12)
    assert difference.over == spread([0.115, 0.215, 0.315])
    few = paired_difference(cells("tu", (1, 2, 3), value), "a", "b", lambda row: row["x"])
    assert (few.unit, few.over.count) == ("seeds", 3)
    lacking = [
        row for row in cells("tu", (1, 2, 3), value) if (row["target"], row["seed"]) != ("u", 3)
    ]
    assert paired_difference(lacking, "a", "b", lambda row: row["x"]).over.count == 2


def test_translations_of_a_row_are_drawn_together():
    differences = {"t": {"r1": 1.0, "r2": 0.0}, "u": {"r1": 1.0, "r3": -1.0}}
    assert paired_rows.share_of_rows(differences) == {"r1": 0.5, "r2": 0.0, "r3": -0.25}
    shares = np.tile([0.5, 0.0, -0.25], (3, 1))
    interval = paired_rows.over_rows_and_seeds(shares)
    assert interval.mean == 0.25 and interval.low < 0 < interval.high and interval.p > 0.05
    clear = paired_rows.over_rows_and_seeds(np.full((3, 40), 0.01))
    assert clear.low == pytest.approx(0.4) and clear.p == pytest.approx(2 / 10_000)


@pytest.mark.parametrize("seed", range(4))
def test_scipys_bootstrap_is_the_one_by_counts(seed):
    """Rows and seeds drawn as counts of a multinomial distribution, which is the same."""
    rng = np.random.default_rng(seed)
    shares = rng.choice([-1, 0, 1], (4, 80), p=[0.1, 0.7, 0.2]) / 80 + rng.normal(0, 2e-4, (4, 1))
    interval = paired_rows.over_rows_and_seeds(shares)
    n_seeds, n_rows = shares.shape
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), 9999) / n_seeds
    rows = rng.multinomial(n_rows, np.full(n_rows, 1 / n_rows), 9999)
    means = ((seeds @ shares) * rows).sum(1)
    assert (interval.low, interval.high) == pytest.approx(
        np.quantile(means, [0.025, 0.975]), abs=0.006
    )
    assert interval.mean == pytest.approx(shares.sum(1).mean())
    assert interval.p == pytest.approx(2 * min((means <= 0).mean(), (means >= 0).mean()), abs=0.02)
