"""The benchmark of forecasts: what it reads, what it leaves out, and that its bands are honest."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import forecast
from benchmarks.run_outcomes import Outcome, stored_tables

TABLE = """
| setting | method | learning rate | tried |
| --- | --- | --- | --- |
| rough | circuit | 0.003 | - |
| rough | full | 0.001 | - |
| rough | direct | 0.001 | - |

**rough, n = 25** (mean ± standard deviation over 4 seeds; source: indonesian)

| target | accuracy on | before | circuit | full | direct |
| --- | --- | --- | --- | --- | --- |
| javanese | target | .665 | .734 ± .006 | .679 ± .045 | .474 ± .058 |
| all targets | target | .493 | .659 ± .011 | .626 ± .018 | .445 ± .019 |
| javanese | source | .818 | .797 ± .027 | .758 ± .060 | .379 ± .068 |
"""


def outcomes(seeds: int = 3, noise: float = 0.01) -> list[Outcome]:
    """Runs whose source falls with the rate, and whose target's gain depends on the language."""
    draw = np.random.default_rng(1)
    gain = {"javanese": 0.1, "buginese": 0.3, "acehnese": 0.2}
    return [
        Outcome(
            target,
            method,
            25,
            rate,
            steps,
            seed,
            {"target": 0.4, "source": 0.8},
            {
                "target": 0.4 + gain[target] + draw.normal(0, noise),
                "source": 0.8 - 10 * rate * (method == "full") + draw.normal(0, noise),
            },
        )
        for target in gain
        for method in ("circuit", "full")
        for rate in (1e-3, 3e-3, 1e-2)
        for steps in (6, 20)
        for seed in range(seeds)
    ]


def test_stored_tables_are_read_and_runs_from_another_checkpoint_left_out(tmp_path):
    path = tmp_path / "results.md"
    path.write_text(TABLE, encoding="utf-8")
    circuit, full = stored_tables(path)
    assert (circuit.method, circuit.rate, circuit.steps, circuit.n) == ("circuit", 0.003, 16, 25)
    assert circuit.before == {"target": 0.665, "source": 0.818}
    assert circuit.after == {"target": 0.734, "source": 0.797}
    assert full.spread == {"target": 0.045, "source": 0.06}


@pytest.mark.parametrize("unseen", ["cells", "seeds", "targets"])
def test_no_run_of_what_is_unseen_is_among_the_others(unseen):
    rows = outcomes()
    parts = forecast.folds(rows, unseen)

    def key(one: Outcome):
        cell = (one.target, one.method, one.rate, one.steps)
        return {"cells": cell, "seeds": one.seed, "targets": one.target}[unseen]

    for part in set(parts):
        left_out = {key(one) for one, of in zip(rows, parts, strict=True) if of == part}
        others = {key(one) for one, of in zip(rows, parts, strict=True) if of != part}
        assert left_out and others and not left_out & others


def test_forecasts_beat_the_mean_of_earlier_runs_and_bands_hold_four_of_five():
    rows = outcomes(seeds=2)
    parts = forecast.folds(rows, "cells", 4)
    blocks = forecast.features(rows, None)
    for side in forecast.SIDES:
        after = np.array([one.after[side] for one in rows])
        change = after - [one.before[side] for one in rows]
        mean, half = forecast.with_bands(blocks, change, parts)
        errors = np.abs(mean - change)
        usual = forecast.baseline(rows, after, parts, ("method",))
        assert errors.mean() < 0.7 * np.abs(usual - after).mean()
        assert 0.65 <= np.mean(errors <= half) <= 0.95
        assert half.mean() < 0.04  # a band that holds everything is no band


def test_a_forecast_does_not_know_what_it_forecasts():
    rows = outcomes(seeds=1)
    parts = forecast.folds(rows, "targets")
    blocks = forecast.features(rows, None)
    change = np.array([one.after["target"] for one in rows])
    mean, half = forecast.with_bands(blocks, change, parts)
    part = parts == parts[0]
    again, band = forecast.with_bands(blocks, np.where(part, 0.9, change), parts)
    assert np.array_equal(again[part], mean[part]) and np.array_equal(band[part], half[part])
    assert not np.allclose(again[~part], mean[~part])  # the others do learn from it


def test_a_guess_that_is_the_outcome_is_found_right_and_a_missing_one_is_left_out():
    rows = [replace(one, guesses={"rehearsal": one.after}) for one in outcomes(seeds=1)]
    lines = forecast.report(rows, "targets", None)
    assert "| target | rehearsal | 36 | 0.000 |  |" in lines
    assert not any("linear" in line for line in lines)
