"""Means over seeds with what they are worth: standard deviations, paired differences and bootstrap
intervals (scipy.stats.bootstrap).

Seeds are few, so an interval is a percentile bootstrap of the mean: no shape is assumed, and with
four values it is rough and a little too narrow. Two methods are compared by the difference on the
same target, rows and seed, which takes out what all methods share.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import bootstrap, spearmanr

DRAWS, LEVEL = 9999, 0.95


@dataclass(frozen=True)
class Spread:
    """`mean` and standard deviation (n - 1 below; None for one value) of `count` values, and the 95
    % bootstrap interval of the mean.
    """

    mean: float
    sd: float | None
    low: float
    high: float
    count: int

    def words(self) -> dict:
        return asdict(self)


def spread(values: Iterable[float]) -> Spread:
    """The interval is [mean, mean] for one value or equal ones. The draws are seeded: the same
    values give the same interval. ValueError for none.
    """
    return _spread(tuple(float(value) for value in values))


@lru_cache(maxsize=20_000)
def _spread(values: tuple[float, ...]) -> Spread:
    mean = statistics.fmean(values)
    sd = statistics.stdev(values) if len(values) > 1 else None
    if len(set(values)) < 2:
        return Spread(mean, sd, mean, mean, len(values))
    found = bootstrap(
        (np.array(values),),
        np.mean,
        n_resamples=DRAWS,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return Spread(
        mean,
        sd,
        float(found.confidence_interval.low),
        float(found.confidence_interval.high),
        len(values),
    )


def grouped(
    rows: Iterable[Mapping], keys: tuple[str, ...], value: Callable[[Mapping], float]
) -> dict[tuple[Hashable, ...], Spread]:
    """`spread` of a value over the rows that agree in `keys`, groups in the order of their first
    rows.
    """
    found: dict[tuple, list[float]] = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(value(row))
    return {key: spread(values) for key, values in found.items()}


def paired(
    rows: Iterable[Mapping],
    one: str,
    other: str,
    value: Callable[[Mapping], float],
    by: tuple[str, ...] = ("target", "n", "seed"),
) -> Spread | None:
    """`spread` of value(one) - value(other) over the pairs of rows, by `method`, that agree in
    `by`; None where no pair is.
    """
    table = {(row["method"], *(row[key] for key in by)): value(row) for row in rows}
    pairs = [
        value_ - table[other, *rest]
        for (method, *rest), value_ in table.items()
        if method == one and (other, *rest) in table
    ]
    return spread(pairs) if pairs else None


ALL = "all targets"


def averaged(rows: list[Mapping], value: str) -> list[dict]:
    """One row a setting, method, n and seed: the mean over targets, of the seeds in which no target
    is missing.
    """
    targets = len({row["target"] for row in rows})
    found: dict[tuple, list[float]] = {}
    for row in rows:
        found.setdefault((row["setting"], row["method"], row["n"], row["seed"]), []).append(
            row[value]
        )
    return [
        {
            "setting": setting,
            "method": method,
            "target": ALL,
            "n": n,
            "seed": seed,
            value: spread(values).mean,
        }
        for (setting, method, n, seed), values in found.items()
        if len(values) == targets
    ]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation over the heads both have; NaN for fewer than three, or where one ranks
    nothing.
    """
    a, b = np.ravel(a).astype(float), np.ravel(b).astype(float)
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3 or np.ptp(a[both]) == 0 or np.ptp(b[both]) == 0:
        return float("nan")
    return float(spearmanr(a[both], b[both]).statistic)
