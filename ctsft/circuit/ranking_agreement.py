"""How far two rankings of heads, or several, agree."""

from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np

from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.selection import heads_in_fraction
from ctsft.utils.statistics import spearman

# shares of all heads whose first heads are compared
TOP_SHARES = (0.02, 0.1)


def agreement(scores: Scores, reference: Scores) -> dict:
    """Spearman's rank correlation over all heads, the top heads in common for each of `TOP_SHARES`,
    and the mean score of each layer.
    """
    ranking, reference_ranking = scores.ranking(), reference.ranking()
    overlap = []
    for share in TOP_SHARES:
        k = heads_in_fraction(share, scores.values.numel())
        common = set(ranking[:k]) & set(reference_ranking[:k])
        overlap.append({"share": share, "k": k, "common": len(common)})
    return {
        "spearman": spearman(scores.values, reference.values),
        "overlap": overlap,
        "layers": scores.values.mean(1).tolist(),
    }


def jaccard(sets: Sequence[Collection]) -> float:
    """Mean over pairs of sets: the members of both divided by the members of either."""
    pairs = combinations(map(set, sets), 2)
    return float(np.mean([len(one & other) / len(one | other) for one, other in pairs]))


def first_head_agreement(rankings: Sequence[Sequence[Head]]) -> float:
    """The share of pairs of rankings with the same first head."""
    return float(np.mean([one[0] == other[0] for one, other in combinations(rankings, 2)]))
