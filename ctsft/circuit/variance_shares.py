"""What a head map depends on: shares of its variance by template, language, pool and seed.

Maps y[template, language, pool, seed, head], each in standard units over its heads (mean 0,
variance 1), so that no map counts more because its logits are larger. A model with random effects,
balanced, seeds nested in pools:

    y = head + head x template + head x language + head x template x language
          + head x pool + head x seed(pool) + rest

The variance of each effect is estimated from the mean squares of the analysis of variance (the
method of moments; Searle, Casella and McCulloch, Variance Components, 1992). These estimates are
unbiased: an effect that is nothing but noise has a share of 0 on average, which is how chance is
subtracted, and a share below 0 means no more than chance. `same` is the share of the variance that
all maps have in common; the shares add up to 1. An effect with one level has no share.

Intervals: a percentile bootstrap over heads. The templates, languages and pools are those that were
given: an interval says nothing of others.

Overlap: the Jaccard index of the first k heads of two maps that differ in one thing only, minus
that of two random sets of k heads (hypergeometric), averaged over such pairs of maps. Intervals:
Student's t over pairs of levels, from three pairs on.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ctsft.utils.statistics import CONFIDENCE_LEVEL, spread

DRAWS = 1000
FACTORS = ("template", "language", "pool", "seed")
EFFECTS = ("template", "language", "template x language", "pool", "seed", "rest")


def standard(maps: np.ndarray) -> np.ndarray:
    """Maps [..., head] with mean 0 and variance 1 (divisor n - 1); a constant map is 0."""
    centred = maps - maps.mean(-1, keepdims=True)
    scale = centred.std(-1, ddof=1, keepdims=True)
    return np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0)


def components(maps: np.ndarray) -> dict[str, float]:
    """The variance of each effect, from maps [template, language, pool, seed, head] in standard
    units; effects without a degree of freedom are left out.
    """
    templates, languages, pools, seeds, n_heads = maps.shape
    crossed, sets, cells = templates * languages, pools * seeds, maps[..., 0].size

    def mean(*over: int) -> np.ndarray:
        return maps.mean(over, keepdims=True)

    head, template, language = mean(0, 1, 2, 3), mean(1, 2, 3), mean(0, 2, 3)
    prompt, pool, drawn = mean(2, 3), mean(0, 1, 3), mean(0, 1)
    # effect, degrees of freedom of each head, levels, the effect whose square stands below it
    effects = {
        "rest": (maps - prompt - drawn + head, (crossed - 1) * (sets - 1), cells, None),
        "template x language": (
            prompt - template - language + head,
            (templates - 1) * (languages - 1),
            crossed,
            "rest",
        ),
        "template": (template - head, templates - 1, templates, "template x language"),
        "language": (language - head, languages - 1, languages, "template x language"),
        "seed": (drawn - pool, pools * (seeds - 1), sets, "rest"),
        "pool": (pool - head, pools - 1, pools, "seed"),
    }
    squares: dict[str | None, float] = {None: 0.0}
    estimates = {}
    for name, (effect, freedom, levels, below) in effects.items():
        if not freedom:
            # an effect that is not there leaves what stands below it
            squares[name] = squares[below]
            continue
        repeats = cells / levels
        total = float((effect**2).sum()) * cells / (effect.size / n_heads)
        squares[name] = total / (freedom * (n_heads - 1))
        estimates[name] = (squares[name] - squares[below]) / repeats
    # a map in standard units has the variance 1
    ordered = {name: estimates[name] for name in EFFECTS if name in estimates}
    return {"same": 1 - sum(ordered.values()), **ordered}


def shares(maps: np.ndarray, draws: int = DRAWS, seed: int = 0) -> dict[str, dict[str, float]]:
    """{effect: {value, low, high}}: shares of the variance of maps [template, language, pool, seed,
    head], with intervals over heads.
    """
    n_heads = maps.shape[-1]
    estimates = components(standard(maps))
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in estimates}
    for _ in range(draws):
        sample = standard(maps[..., random.integers(n_heads, size=n_heads)])
        for name, value in components(sample).items():
            drawn[name].append(value)
    ends = (1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2
    intervals = {name: np.quantile(values, ends) for name, values in drawn.items()}
    return {
        name: {"value": float(value), "low": float(low), "high": float(high)}
        for (name, value), (low, high) in zip(estimates.items(), intervals.values(), strict=True)
    }


def chance_jaccard(k: int, n: int) -> float:
    """The expected Jaccard index of two random sets of k of n heads."""
    from scipy.stats import hypergeom  # takes a second to import

    common = np.arange(k + 1)
    return float((hypergeom.pmf(common, n, k, k) * common / (2 * k - common)).sum())


def overlaps(tops: Mapping[tuple, set], sizes: Sequence[int], chance: float) -> dict[str, dict]:
    """{factor: {jaccard, above, low, high, pairs}} of sets by their cell (template, language, pool,
    seed), numbers below `sizes`: means over the pairs of cells that differ in this factor alone
    (for pools, in the draw as well); `above`: minus chance, with its interval over pairs of levels.
    """
    agreement = {}
    for place, name in enumerate(FACTORS):
        # {pair of levels (within its pool, for seeds): Jaccard indices}
        by_levels: dict[tuple, list[float]] = {}
        for cell, top in tops.items():
            for level in range(cell[place] + 1, sizes[place]):
                other = (*cell[:place], level, *cell[place + 1 :])
                levels = (cell[place], level, cell[2] if name == "seed" else None)
                union = len(top | tops[other])
                by_levels.setdefault(levels, []).append(len(top & tops[other]) / union)
        if by_levels:
            of = spread([float(np.mean(values)) for values in by_levels.values()])
            agreement[name] = {
                "jaccard": of.mean,
                "above": of.mean - chance,
                "low": None if of.low is None else of.low - chance,
                "high": None if of.high is None else of.high - chance,
                "pairs": sum(map(len, by_levels.values())),
            }
    return agreement


def text_overlap(texts: Mapping[tuple, set], sizes: Sequence[int]) -> dict[str, float]:
    """{factor: Jaccard index of the discovery sets of two such cells}."""
    return {name: of["jaccard"] for name, of in overlaps(texts, sizes, 0.0).items()}
