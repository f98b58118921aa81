"""How far two rankings of heads, or several, agree."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
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


# of all heads: at most this share is called disagreeing, and only above this rank difference
DISAGREEING_SHARE = 0.1
RANK_DIFFERENCE = 0.25
CLEAR = 2  # standard errors from zero at which the sign of a score is clear


@dataclass(frozen=True)
class Disagreement:
    """A head about which two scorings disagree: its ranks in both (1: highest), and whether their
    signs are opposite, both of them clear.
    """

    head: Head
    rank: int
    reference_rank: int
    opposite: bool


def disagreements(scores: Scores, reference: Scores) -> list[Disagreement]:
    """The heads on which sign or rank disagree most, worst first.

    A head counts whose ranks differ by more than a quarter of all heads, or whose signs are
    opposite and clear (more than two standard errors from zero); of these the tenth of all heads
    with the largest difference of rank, opposite signs first.
    """
    orders = scores.ranking(), reference.ranking()
    ranks = [{head: rank for rank, head in enumerate(order, 1)} for order in orders]
    signs = [_clear_signs(one) for one in (scores, reference)]
    n = len(orders[0])
    differences = [
        Disagreement(
            head, ranks[0][head], ranks[1][head], bool(signs[0][head] * signs[1][head] < 0)
        )
        for head in orders[0]
        if head in ranks[1]
    ]

    def difference(one: Disagreement) -> int:
        return abs(one.rank - one.reference_rank)

    large = [one for one in differences if one.opposite or difference(one) > RANK_DIFFERENCE * n]
    large.sort(key=lambda one: (not one.opposite, -difference(one), one.head))
    return large[: max(1, int(DISAGREEING_SHARE * n))]


def _clear_signs(scores: Scores) -> np.ndarray:
    """[layer, head] -> 1 or -1, and 0 where the sign is not clear."""
    values, errors = scores.values.numpy(), scores.stderr.numpy()
    return np.sign(values) * (np.abs(values) > CLEAR * errors)
