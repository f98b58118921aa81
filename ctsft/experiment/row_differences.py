"""Methods compared two by two on the rows that every trial answered: a claim about these languages.

The paired difference is resampled over rows and seeds together (`utils.paired_rows`): a row that
stands in several languages is drawn in all of them at once. Its interval says how far other rows
and seeds would change the difference on these languages, and nothing of others; those are what
`method_differences` speaks of.
"""

from collections.abc import Mapping

import numpy as np

from ctsft.experiment.method_differences import SIDES, pair_key, verdict
from ctsft.utils.paired_rows import Bootstrapped, over_rows_and_seeds, right_rows, share_of_rows
from ctsft.utils.statistics import FEWEST, holm

NAMES = ("one", "other")
# {(target, n, seed): {row id: 1 where it is answered right, else 0}}, of one method and side
Cells = dict[tuple[str, int, int], dict[str, float]]


def on_these_languages(compared: list[dict], rows: list[Mapping]) -> list[dict]:
    """The compared pairs with "target_rows" and "source_rows", their differences over rows and
    seeds (None where answers are not stored, or for fewer than `FEWEST` complete seeds), and
    "rows_verdict", by Holm over all of them. rows: with "answers" (`results.finished_rows`).
    """
    cells = {}
    for row in rows:
        for side, (ids, right) in (row.get("answers") or {}).items():
            of_method = cells.setdefault((row["setting"], row["method"], side), {})
            answers = dict(zip(ids, right_rows(right).astype(float), strict=True))
            of_method[row["target"], row["n"], row["seed"]] = answers
    table, tests = [], {}
    for pair in compared:
        columns = {}
        for side in SIDES:
            one, other = (cells.get((pair["setting"], pair[name], side)) for name in NAMES)
            difference = row_difference(one, other) if one and other else None
            columns[f"{side}_rows"] = difference
            if difference:
                tests[pair_key(pair, side)] = difference.p
        table.append(pair | columns)
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    return [pair | {"rows_verdict": rows_verdict(pair, adjusted)} for pair in table]


def rows_verdict(pair: Mapping, adjusted: Mapping) -> str:
    """`verdict` by the differences over rows and seeds; "" where there are none."""
    if any(pair[f"{side}_rows"] is None for side in SIDES):
        return ""
    columns = {f"{side}_holm": adjusted[pair_key(pair, side)] for side in SIDES}
    return verdict(columns | {f"{side}_mean": pair[f"{side}_rows"].mean for side in SIDES})


def row_difference(one: Cells, other: Cells) -> Bootstrapped | None:
    """The mean of one minus other over rows, languages, n and seeds, of the seeds that have every
    language and n; None where the rows differ, or for fewer than `FEWEST` such seeds.
    """
    both = [cell for cell in one if cell in other]
    parts = {(target, n) for target, n, _ in both}
    seeds = [
        seed
        for seed in dict.fromkeys(seed for _, _, seed in both)
        if all((*part, seed) in one and (*part, seed) in other for part in parts)
    ]
    if len(seeds) < FEWEST or any(one[cell].keys() != other[cell].keys() for cell in both):
        return None
    sizes = sorted({n for _, n in parts})
    by_seed = []
    for seed in seeds:
        shares: dict[str, float] = {}
        for n in sizes:
            differences = {
                target: {
                    row: right - other[target, n, seed][row]
                    for row, right in one[target, n, seed].items()
                }
                for target, size in parts
                if size == n
            }
            for row, share in share_of_rows(differences).items():
                shares[row] = shares.get(row, 0.0) + share / len(sizes)
        by_seed.append(shares)
    names = list(dict.fromkeys(row for shares in by_seed for row in shares))
    return over_rows_and_seeds(
        np.array([[shares.get(row, 0.0) for row in names] for shares in by_seed])
    )
