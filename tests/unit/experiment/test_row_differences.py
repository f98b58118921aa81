"""The bootstrap over rows and seeds in an experiment's table: against the definition, and what it
does not claim.
"""

import numpy as np
import pytest

from ctsft.experiment import tables
from ctsft.experiment.method_differences import notable_pairs, paired_differences
from ctsft.experiment.row_differences import on_these_languages
from support.experiment import row

IDS = tuple(f"r{i}" for i in range(120))
SEEDS = (1, 2, 3, 4)


def answered(method: str, rng, better: float, seeds=SEEDS) -> list[dict]:
    """Trials on two parallel languages; `better`: the share of rows that it answers right beside
    what chance gives.
    """
    rows = []
    for target in ("jv", "su"):
        for seed in seeds:
            answers, right = {}, {}
            for side, chance in (("target", 0.5 + better), ("source", 0.7)):
                of_rows = rng.random(len(IDS)) < chance
                right[side] = of_rows.mean()
                answers[side] = (IDS, "".join("01"[int(one)] for one in of_rows))
            trial = row(method, target, seed, right["target"], right["source"])
            rows.append(trial | {"answers": answers})
    return rows


@pytest.fixture
def rows() -> list[dict]:
    rng = np.random.default_rng(3)
    return [*answered("circuit", rng, 0.2), *answered("full", rng, 0.0)]


def compared(rows) -> dict:
    (pair,) = [
        pair
        for pair in on_these_languages(notable_pairs(paired_differences(rows)), rows)
        if pair["one"] == "circuit"
    ]
    return pair


def test_the_difference_is_the_mean_and_the_interval_that_of_rows_and_seeds(rows):
    pair = compared(rows)
    assert pair["target_rows"].mean == pytest.approx(pair["target_mean"])
    assert pair["target_rows"].low > 0 > pair["source_rows"].low
    assert pair["rows_verdict"] == "better on target"
    # drawn by hand, with loops: rows of both languages together, and seeds
    rng, of = (
        np.random.default_rng(9),
        {(one["method"], one["target"], one["seed"]): one for one in rows},
    )
    right = {
        key: np.array([sign == "1" for sign in one["answers"]["target"][1]], float)
        for key, one in of.items()
    }
    means = []
    for _ in range(1500):
        drawn = rng.integers(0, len(IDS), len(IDS))
        seeds = rng.choice(SEEDS, len(SEEDS))
        values = [
            right["circuit", target, seed][drawn] - right["full", target, seed][drawn]
            for target in ("jv", "su")
            for seed in seeds
        ]
        means.append(np.mean(values))
    ends = np.quantile(means, [0.025, 0.975])
    assert (pair["target_rows"].low, pair["target_rows"].high) == pytest.approx(ends, abs=0.01)


def test_the_table_has_its_columns_where_answers_are_stored(rows):
    text = tables.markdown(rows, "id")
    assert tables.ROW_HEAD[0] in text and tables.ROW_DIFFERENCES in text
    # the controls: without answers, and with two seeds, nothing is claimed of these languages
    without = [tables.flat(one) for one in rows]
    assert tables.ROW_HEAD[0] not in tables.markdown(without, "id")
    two = [one for one in rows if one["seed"] in SEEDS[:2]]
    assert compared(two)["target_rows"] is None and compared(two)["rows_verdict"] == ""
    assert tables.as_csv(rows) == tables.as_csv(without)


def test_answers_to_other_rows_are_not_compared(rows):
    for one in rows:
        if one["method"] == "full":
            ids, right = one["answers"]["target"]
            one["answers"] = one["answers"] | {"target": (tuple(f"x{i}" for i in ids), right)}
    assert compared(rows)["target_rows"] is None
