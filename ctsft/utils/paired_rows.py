"""Two sets of answers to the same rows: right or wrong per row, so everything is paired.

Two answers are compared by the exact McNemar test: of the rows on which they differ, as many should
go either way by chance (scipy.special.bdtr). Several seeds are compared by a bootstrap that draws
rows and seeds together; a row that stands in several languages is drawn in all of them at once. It
speaks of these languages only, and of few seeds it knows as little as they do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr  # scipy.stats takes a second to import

from ctsft.utils.statistics import CONFIDENCE_LEVEL

DRAWS = 9999


@dataclass(frozen=True)
class Change:
    """How many rows were right only before (`lost`) and only after (`won`), and the p of the exact
    McNemar test, two-sided.
    """

    lost: int
    won: int
    p: float


def exact_mcnemar(lost, won):
    """The two-sided p of `lost` against `won` discordant rows; numbers or arrays of one shape."""
    lost, won = np.asarray(lost), np.asarray(won)
    return np.minimum(1.0, 2 * bdtr(np.minimum(lost, won), lost + won, 0.5))


def right_rows(answers: str) -> np.ndarray:
    """[row], True where the answer is right, from a text of "1" and "0"."""
    return np.frombuffer(answers.encode(), dtype=np.uint8) == ord("1")


def change(before: str, after: str) -> Change:
    """Answers to the same rows, as texts of "1" and "0". ValueError for different numbers of
    rows.
    """
    old, new = right_rows(before), right_rows(after)
    if len(old) != len(new):
        raise ValueError(f"{len(old)} and {len(new)} answers cannot be of the same rows")
    lost, won = int((old & ~new).sum()), int((new & ~old).sum())
    return Change(lost, won, float(exact_mcnemar(lost, won)))


def pairwise_p(answers: Sequence[str]) -> np.ndarray:
    """[one, other]: the p of the exact McNemar test of every two of several sets of answers."""
    right = np.array([right_rows(one) for one in answers], dtype=np.int64)
    only = right @ (1 - right).T  # right in one, wrong in the other
    return exact_mcnemar(only, only.T)


def share_of_rows(differences: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """{row id: what it adds to the mean over languages of the means over rows}, from {language:
    {row id: difference}}. Rows with the same id count as one.
    """
    total: dict[str, float] = {}
    for rows in differences.values():
        for row, difference in rows.items():
            total[row] = total.get(row, 0.0) + difference / len(rows) / len(differences)
    return total


@dataclass(frozen=True)
class Bootstrapped:
    """A mean difference, its interval at `CONFIDENCE_LEVEL`, and the two-sided p that it is 0."""

    mean: float
    low: float
    high: float
    p: float


def over_rows_and_seeds(shares: np.ndarray, seed: int = 0) -> Bootstrapped:
    """Percentile bootstrap (scipy) of the mean over seeds of the sums over rows; each draw takes
    other rows and other seeds. shares: [seed, row], of `share_of_rows`, at least two of each. The
    draws are seeded.
    """
    from scipy.stats import bootstrap  # takes a second to import

    n_seeds, n_rows = shares.shape

    def total(rows, seeds, axis=-1):  # [draw, row], [draw, seed]: numbers of those that are drawn
        weights = (seeds[..., None] == np.arange(n_seeds)).mean(-2)  # [draw, seed]
        return np.take_along_axis(weights @ shares, rows, axis).sum(axis)

    result = bootstrap(
        (np.arange(n_rows), np.arange(n_seeds)),
        total,
        n_resamples=DRAWS,
        batch=max(1, 2_000_000 // n_rows),  # bounds the memory
        vectorized=True,
        axis=-1,
        confidence_level=CONFIDENCE_LEVEL,
        method="percentile",
        rng=seed,
    )
    means, interval = result.bootstrap_distribution, result.confidence_interval
    below, above = ((1 + np.count_nonzero(side)) / (1 + DRAWS) for side in (means <= 0, means >= 0))
    p = min(1.0, 2 * min(below, above))
    mean = float(shares.sum(1).mean())
    return Bootstrapped(mean, float(interval.low), float(interval.high), p)
