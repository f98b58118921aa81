"""Shares of variance of maps with known effects, and overlap that can be counted by hand."""

import numpy as np
import pytest

from ctsft.circuit.variance_shares import (
    chance_jaccard,
    components,
    overlaps,
    shares,
    standard,
)

LEVELS = (3, 3, 3, 2)  # templates, languages, pools, seeds
VARIANCES = {
    "same": 0.4,
    "template": 0.1,
    "language": 0.2,
    "template x language": 0.05,
    "pool": 0.03,
    "seed": 0.07,
    "rest": 0.15,
}
VARY = {  # the places that an effect has levels of its own in
    "same": (),
    "template": (0,),
    "language": (1,),
    "template x language": (0, 1),
    "pool": (2,),
    "seed": (2, 3),
    "rest": (0, 1, 2, 3),
}


def drawn(variances, levels=LEVELS, heads=2000, seed=0) -> np.ndarray:
    """Maps with normal effects of these variances."""
    random = np.random.default_rng(seed)
    shapes = [[n if place in VARY[name] else 1 for place, n in enumerate(levels)] for name in VARY]
    return sum(
        random.normal(size=(*shape, heads)) * variances[name] ** 0.5
        for name, shape in zip(VARY, shapes, strict=True)
    )


def test_known_variances_are_found():
    parts = components(standard(drawn(VARIANCES)))
    assert parts == pytest.approx(VARIANCES, abs=0.02) and sum(parts.values()) == pytest.approx(1)
    assert list(parts) == list(VARIANCES)


def test_noise_alone_has_no_share_on_average():
    only = dict.fromkeys(VARIANCES, 0.0) | {"same": 0.5, "rest": 0.5}
    draws = [components(standard(drawn(only, heads=48, seed=seed))) for seed in range(40)]
    for name in ("template", "language", "template x language", "pool", "seed"):
        values = [one[name] for one in draws]
        # some below 0: nothing is cut off
        assert abs(np.mean(values)) < 0.01 and min(values) < 0 < max(values)


@pytest.mark.parametrize(
    ("levels", "absent"),
    [
        ((3, 1, 3, 2), {"language", "template x language"}),
        ((3, 3, 3, 1), {"seed"}),
        ((3, 3, 1, 1), {"pool", "seed", "rest"}),
    ],
)
def test_an_effect_with_one_level_has_no_share(levels, absent):
    parts = components(standard(drawn(VARIANCES, levels)))
    assert set(parts) == set(VARIANCES) - absent and sum(parts.values()) == pytest.approx(1)


def test_the_scale_of_a_map_does_not_count():
    maps = drawn(VARIANCES, heads=30)
    louder = maps * np.array([1.0, 9.0, 0.1]).reshape(3, 1, 1, 1, 1) + 5
    assert components(standard(louder)) == pytest.approx(components(standard(maps)))
    assert not standard(np.ones((2, 4))).any()


def test_intervals_hold_the_share_and_narrow_with_more_heads():
    few, many = (shares(drawn(VARIANCES, heads=heads), draws=100) for heads in (24, 400))
    for of in (few, many):
        assert all(one["low"] <= one["high"] for one in of.values())
    assert many["language"]["low"] < VARIANCES["language"] < many["language"]["high"]
    width = [of["language"]["high"] - of["language"]["low"] for of in (few, many)]
    assert width[1] < width[0]


def test_chance_overlap_is_that_of_random_sets():
    assert chance_jaccard(1, 4) == pytest.approx(1 / 4)
    # of 4 heads 2 and 2: none, one or both in common with 1/6, 4/6 and 1/6
    assert chance_jaccard(2, 4) == pytest.approx(4 / 6 / 3 + 1 / 6)
    assert chance_jaccard(5, 5) == 1


def test_overlap_is_of_maps_that_differ_in_one_thing():
    # sets of 2 heads, by template alone: {0, 1}, {0, 2}, {0, 3}
    sizes = (3, 1, 2, 2)
    tops = {(t, 0, p, s): {0, t + 1} for t in range(3) for p in range(2) for s in range(2)}
    overlap = overlaps(tops, sizes, chance=0.1)
    assert set(overlap) == {"template", "pool", "seed"}
    assert overlap["template"] == pytest.approx(
        {
            "jaccard": 1 / 3,
            "above": 1 / 3 - 0.1,
            "low": 1 / 3 - 0.1,
            "high": 1 / 3 - 0.1,
            "pairs": 12,
        }
    )
    # one pair of pools, and one pair of seeds in each: too few for an interval
    assert overlap["pool"]["jaccard"] == 1 and overlap["pool"]["low"] is None
    assert (overlap["pool"]["pairs"], overlap["seed"]["pairs"]) == (6, 6)
