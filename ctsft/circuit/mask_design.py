"""Which circuits are measured to fit a surrogate of faithfulness: sets of every size, most of them
near the first heads of a ranking, because those are the circuits that a person edits.
"""

import math
import random
from collections.abc import Iterator, Sequence

import numpy as np

UNIFORM_SHARE = 0.2  # of the sets: random heads, sizes spread evenly
# heads that are added, removed or swapped in a set near a ranking
EDITS = (0, 1, 2, 3, 4, 5, 6, 8, 12)
LARGE_EDIT = 8  # now and then an edit of so many parts of all heads
TRIES = 5  # for each set, where sets are drawn more than once


def draw_masks(
    rankings: Sequence[Sequence[int]], n_heads: int, count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Different sets of heads, bool [mask, head], and which of them are near a ranking, [mask];
    fewer than `count` where there are not so many. Rankings hold numbers of heads, best first.

    Neighbours in the result differ in size and kind: any first part of it is a sample of the whole.
    The empty set and the full one are not among them.
    """
    draw = random.Random(seed)
    n_uniform = round(count * UNIFORM_SHARE)
    parts = (
        (False, uniform_sets(draw, n_heads, n_uniform)),
        (True, near_sets(draw, rankings, n_heads, count - n_uniform)),
        # instead of sets that were drawn before
        (True, near_sets(draw, rankings, n_heads, TRIES * count)),
    )
    chosen: dict[frozenset[int], bool] = {}
    for near, sets in parts:
        for one in sets:
            if 0 < len(one) < n_heads and len(chosen) < count:
                chosen.setdefault(one, near)
    order = list(chosen.items())
    draw.shuffle(order)
    masks = np.zeros((len(order), n_heads), bool)
    for mask, (heads, _) in zip(masks, order, strict=True):
        mask[list(heads)] = True
    return masks, np.array([near for _, near in order], bool)


def uniform_sets(draw: random.Random, n_heads: int, count: int) -> Iterator[frozenset[int]]:
    """Random heads; the sizes are spread evenly from none to all."""
    for stratum in range(count):
        size = round((stratum + draw.random()) / count * n_heads)
        yield frozenset(draw.sample(range(n_heads), min(size, n_heads)))


def near_sets(
    draw: random.Random, rankings: Sequence[Sequence[int]], n_heads: int, count: int
) -> Iterator[frozenset[int]]:
    """The first heads of a ranking with some edits; the sizes are spread evenly by their
    logarithm.
    """
    for stratum in range(count):
        size = round(math.exp((stratum + draw.random()) / count * math.log(n_heads)))
        edits = draw.choice((*EDITS, max(1, n_heads // LARGE_EDIT)))
        yield edited(draw, set(draw.choice(rankings)[:size]), n_heads, edits)


def edited(draw: random.Random, heads: set[int], n_heads: int, edits: int) -> frozenset[int]:
    """A set after `edits` random changes: a head added, one removed, or one swapped for another."""
    heads = set(heads)
    for _ in range(edits):
        change = draw.choice(("add", "remove", "swap"))
        inside, outside = sorted(heads), sorted(set(range(n_heads)) - heads)
        if change != "remove" and outside:
            heads.add(draw.choice(outside))
        if change != "add" and inside:
            heads.remove(draw.choice(inside))
    return frozenset(heads)
