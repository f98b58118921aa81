"""Methods of an experiment compared two by two: paired differences, and the verdicts on them."""

from collections.abc import Mapping
from itertools import combinations

from ctsft.utils.statistics import (
    FEWEST,
    Difference,
    holm,
    paired_difference,
)

SIDES = ("target", "source")
# everything is trained, and the source is kept by the way it is trained
KEEPING = ("full_held", "replay", "half of full")

LEVEL = 0.05  # of the chance that a table of differences holds a false verdict


def paired_differences(rows: list[Mapping]) -> list[dict]:
    """One row for each setting and ordered pair of methods: the paired differences of target and
    source accuracy after tuning, judged together (`judged`).
    """
    table_rows = []
    for setting in dict.fromkeys(row["setting"] for row in rows):
        some = [row for row in rows if row["setting"] == setting]
        of_method: dict[str, list[Mapping]] = {}
        for row in some:
            of_method.setdefault(row["method"], []).append(row)
        for one, other in combinations(of_method, 2):
            both = of_method[one] + of_method[other]
            sides = {
                side: paired_difference(
                    both, one, other, lambda row, side=side: row[f"{side}_after"]
                )
                for side in SIDES
            }
            if all(sides.values()):
                pair = {"setting": setting, "one": one, "other": other} | difference_columns(sides)
                table_rows += [pair, reverse(pair)]
    return judged(table_rows)


def reverse(pair: Mapping) -> dict:
    """The same difference of the other method minus the one."""
    turned = dict(pair) | {"one": pair["other"], "other": pair["one"]}
    for side in SIDES:
        mean, low, high = (pair[f"{side}_{name}"] for name in ("mean", "low", "high"))
        turned[f"{side}_mean"] = -mean
        if low is not None:
            turned |= {f"{side}_low": -high, f"{side}_high": -low}
    return turned


def difference_columns(sides: Mapping[str, Difference]) -> dict:
    columns = {
        "pairs": sides["target"].pairs,
        "unit": sides["target"].unit,
        "count": sides["target"].over.count,
    }
    for side, difference in sides.items():
        columns |= {
            f"{side}_{name}": getattr(difference.over, name)
            for name in ("mean", "low", "high", "p")
        }
    return columns


def judged(compared: list[dict]) -> list[dict]:
    """The same differences with `target_holm` and `source_holm`, their p adjusted over all pairs
    that are shown together, and a verdict. A pair and its reverse are one test.
    """
    tests = {}
    for pair in compared:
        for side in SIDES:
            if pair[f"{side}_p"] is not None:
                tests[pair_key(pair, side)] = pair[f"{side}_p"]
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    rows = []
    for pair in compared:
        columns = {f"{side}_holm": adjusted.get(pair_key(pair, side)) for side in SIDES}
        rows.append(pair | columns | {"verdict": verdict(pair | columns)})
    return rows


def pair_key(pair: Mapping, side: str) -> tuple:
    """The key of a test: the same for a pair and its reverse."""
    return pair["setting"], frozenset((pair["one"], pair["other"])), side


def verdict(pair: Mapping) -> str:
    """Whether one method is better than another: a difference on one side whose adjusted p is below
    `LEVEL`, and no such one against it. No verdict from fewer than `FEWEST` languages or seeds.
    """
    if any(pair[f"{side}_holm"] is None for side in SIDES):
        return f"fewer than {FEWEST} languages or seeds"
    clear = [side for side in SIDES if pair[f"{side}_holm"] < LEVEL]
    better = [side for side in clear if pair[f"{side}_mean"] > 0]
    worse = [side for side in clear if pair[f"{side}_mean"] < 0]
    if better and worse:
        return f"trades: {better[0]} better, {worse[0]} worse"
    if better or worse:
        return f"{'better' if better else 'worse'} on {' and '.join(better or worse)}"
    return "no difference beyond chance"


def notable_pairs(compared: list[dict]) -> list[dict]:
    """Each method against full tuning, full tuning that keeps the source against the choices of
    heads, and advised and near-zero heads against the other choices; judged by what is shown here.
    """
    heads = ("circuit", "near_zero", "least", "random", "norms")
    shown = [
        one
        for one in compared
        if one["other"] == "full"
        or (one["one"] in KEEPING and one["other"] in ("circuit", "near_zero"))
        or (one["one"] == "advised" and one["other"] in heads)
        or (one["one"] == "near_zero" and one["other"] in ("circuit", "random"))
        or (one["one"], one["other"]) == ("circuit", "random")
    ]
    return judged(shown)
