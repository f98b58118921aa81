"""Means over seeds and languages with their uncertainty: standard deviations, intervals by
Student's t (scipy.special), paired differences, and the rank correlation of two maps of heads.

Two values say nothing of their spread that an interval could hold on to, so intervals start at
three. (A percentile bootstrap over few seeds is too narrow: see tests/unit/utils/test_coverage.py.)
Two methods are compared by their difference on the same target, rows and seed, which removes what
all methods share. Cells of one language are averaged first: languages, not cells, are what a claim
about other languages rests on. Where several differences are shown, their p are adjusted together
(Holm 1979).
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t: distribution, quantile

from ctsft.utils.figures import Figure

FEWEST = 3  # values that an interval is computed from
CONFIDENCE_LEVEL = 0.95
ALL_TARGETS = "all targets"
OPERATIONS = {"p": "spread_p"}  # the parts of a spread whose derivation has another name


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (divisor n - 1; None for one value) of `count` values; and the
    interval of the mean at `CONFIDENCE_LEVEL` by Student's t, from `low` to `high`, with the
    two-sided p that the mean is 0; these three are None for fewer than `FEWEST` values.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    count: int
    p: float | None = None

    def as_dict(self) -> dict:
        return asdict(self)


def spread(values: Iterable[float]) -> Spread:
    """Mean, deviation and interval of values; [mean, mean] for equal ones. Those of figures are
    figures.

    Raises ValueError for no values.
    """
    values = list(values)
    spread_of_values = _spread(tuple(float(value) for value in values))
    if not all(isinstance(value, Figure) for value in values):
        return spread_of_values
    numbers = {name: getattr(spread_of_values, name) for name in ("mean", "sd", "low", "high", "p")}
    of = {
        name: number if number is None else Figure(number, OPERATIONS.get(name, name), *values)
        for name, number in numbers.items()
    }
    return Spread(count=spread_of_values.count, **of)


@lru_cache(maxsize=20_000)
def _spread(values: tuple[float, ...]) -> Spread:
    mean, count = statistics.fmean(values), len(values)
    sd = statistics.stdev(values) if count > 1 else None
    if count < FEWEST:
        return Spread(mean, sd, None, None, count)
    if not sd:
        return Spread(mean, sd, mean, mean, count, float(mean == 0))
    error = sd / count**0.5
    half = float(stdtrit(count - 1, (1 + CONFIDENCE_LEVEL) / 2)) * error
    p = 2 * float(stdtr(count - 1, -abs(mean) / error))
    return Spread(mean, sd, mean - half, mean + half, count, p)


def holm(values: Sequence[float]) -> list[float]:
    """p of tests that are shown together, adjusted so that the chance of even one false verdict
    stays below the level that they are held against (Holm 1979). scipy has no function for it, and
    that of statsmodels, which gives the same, takes longer to import than the first screen to draw.
    """
    order = np.argsort(values)
    steps = len(values) - np.arange(len(values))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.array(values)[order] * steps))
    if not len(values) or not all(isinstance(value, Figure) for value in values):
        return adjusted.tolist()
    tests = Figure(float("nan"), "tests", *values)  # each of them needs all
    return [Figure(p, "holm", i, tests) for i, p in enumerate(adjusted.tolist())]


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


@dataclass(frozen=True)
class Difference:
    """A paired difference of two methods. over: the `Spread` over its units; unit: "languages", or
    "seeds" where there are fewer than `FEWEST` languages; pairs: of rows.
    """

    over: Spread
    unit: str
    pairs: int


def paired_difference(
    rows: Iterable[Mapping], one: str, other: str, value: Callable[[Mapping], float]
) -> Difference | None:
    """value(one) - value(other), where `one` and `other` are methods, over the pairs of rows with
    the same target, n and seed; None where there is no pair. Cells of one language are averaged
    first, or those of one seed where seeds are the unit.
    """
    by = ("target", "n", "seed")
    values = {(row["method"], *(row[key] for key in by)): value(row) for row in rows}
    cells = {
        tuple(pair): value_of_one - values[other, *pair]
        for (method, *pair), value_of_one in values.items()
        if method == one and (other, *pair) in values
    }
    if not cells:
        return None
    languages, seeds = means_by(cells, 0), means_by(complete_seeds(cells), 2)
    if len(languages) >= FEWEST:
        return Difference(spread(languages), "languages", len(cells))
    return Difference(spread(seeds), "seeds", len(cells))


def complete_seeds(cells: Mapping[tuple, float]) -> dict[tuple, float]:
    """The cells of the seeds that have the most of them: a seed that lacks a target is left out."""
    counts = Counter(seed for _, _, seed in cells)
    most = max(counts.values())
    return {key: value for key, value in cells.items() if counts[key[2]] == most}


def means_by(cells: Mapping[tuple, float], place: int) -> list[float]:
    """Means over the cells that have the same part of their key at `place`."""
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for key, value in cells.items():
        groups[key[place]].append(value)
    return [statistics.fmean(values) for values in groups.values()]


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
    from scipy.stats import spearmanr  # takes a second to import

    a, b = np.ravel(a).astype(float), np.ravel(b).astype(float)
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3 or np.ptp(a[both]) == 0 or np.ptp(b[both]) == 0:
        return float("nan")
    return float(spearmanr(a[both], b[both]).statistic)
