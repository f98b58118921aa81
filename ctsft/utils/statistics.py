"""Means over seeds with their uncertainty: standard deviations, paired differences and bootstrap
intervals (scipy.stats.bootstrap), and the rank correlation of two maps of heads.

There are few seeds, so an interval is a percentile bootstrap of the mean: it assumes no shape of
the distribution, and with four values it is rough and a little too narrow. Two methods are compared
by their difference on the same target, rows and seed, which removes what all methods share.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import bootstrap, spearmanr

DRAWS = 9999
CONFIDENCE_LEVEL = 0.95
ALL_TARGETS = "all targets"


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (divisor n - 1; None for one value) of `count` values, and the
    bootstrap interval of the mean at `CONFIDENCE_LEVEL`, from `low` to `high`.
    """

    mean: float
    sd: float | None
    low: float
    high: float
    count: int

    def as_dict(self) -> dict:
        return asdict(self)


def spread(values: Iterable[float]) -> Spread:
    """Mean, deviation and interval of values. The interval is [mean, mean] for one value or equal
    ones. The draws are seeded, so the same values give the same interval.

    Raises ValueError for no values.
    """
    return _spread(tuple(float(value) for value in values))


@lru_cache(maxsize=20_000)
def _spread(values: tuple[float, ...]) -> Spread:
    mean = statistics.fmean(values)
    sd = statistics.stdev(values) if len(values) > 1 else None
    if len(set(values)) < 2:
        return Spread(mean, sd, mean, mean, len(values))
    interval = bootstrap(
        (np.array(values),),
        np.mean,
        n_resamples=DRAWS,
        confidence_level=CONFIDENCE_LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Spread(mean, sd, float(interval.low), float(interval.high), len(values))


def spread_by_group(
    rows: Iterable[Mapping], keys: tuple[str, ...], value: Callable[[Mapping], float]
) -> dict[tuple[Hashable, ...], Spread]:
    """`spread` of a value over the rows with the same `keys`; groups in the order of their first
    rows.
    """
    groups: dict[tuple, list[float]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(value(row))
    return {key: spread(values) for key, values in groups.items()}


def paired_difference(
    rows: Iterable[Mapping],
    one: str,
    other: str,
    value: Callable[[Mapping], float],
    by: tuple[str, ...] = ("target", "n", "seed"),
) -> Spread | None:
    """`spread` of value(one) - value(other), where `one` and `other` are methods, over the pairs of
    rows with the same `by`; None where there is no pair.
    """
    values = {(row["method"], *(row[key] for key in by)): value(row) for row in rows}
    differences = [
        value_of_one - values[other, *pair]
        for (method, *pair), value_of_one in values.items()
        if method == one and (other, *pair) in values
    ]
    return spread(differences) if differences else None


def average_over_targets(rows: list[Mapping], value: str) -> list[dict]:
    """One row for each setting, method, n and seed: the mean of the field `value` over targets. A
    seed in which a target is missing is left out.
    """
    targets = len({row["target"] for row in rows})
    groups: dict[tuple, list[float]] = defaultdict(list)
    for row in rows:
        groups[row["setting"], row["method"], row["n"], row["seed"]].append(row[value])
    return [
        {
            "setting": setting,
            "method": method,
            "target": ALL_TARGETS,
            "n": n,
            "seed": seed,
            value: spread(values).mean,
        }
        for (setting, method, n, seed), values in groups.items()
        if len(values) == targets
    ]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays of one shape, over the places where both are
    finite; NaN for fewer than three places, or where one array is constant.
    """
    a, b = np.ravel(a).astype(float), np.ravel(b).astype(float)
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3 or np.ptp(a[both]) == 0 or np.ptp(b[both]) == 0:
        return float("nan")
    return float(spearmanr(a[both], b[both]).statistic)
