"""The benchmark of growth: its fit, and a small run of it."""

import json

import pytest

from benchmarks import scaling


def test_the_fit_finds_an_exact_power_and_says_how_sure_it_is():
    sizes = (2, 4, 8, 16)
    assert scaling.fit(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx((1.5, 0.0))
    noisy = [3 * size**1.5 * factor for size, factor in zip(sizes, (1, 1.3, 0.8, 1), strict=True)]
    assert scaling.fit(sizes, noisy)[1] > 0.05


def test_a_tiny_run_has_a_row_for_each_method_and_number(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "cpu_seconds", lambda work, repeats: work() is None or 1.0)
    scaling.main(["--tiny", "--out", str(tmp_path / "out.json")])
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert len(rows) == len(scaling.METHODS) * len(scaling.GRID)
    growth = {(row["method"], row["changed"]): row["operations"] for row in rows}
    assert growth["cdt", "examples"] == pytest.approx(1.0)
    assert (
        growth["cdt", "layers"] > 2 > growth["ablation", "layers"] > 1.5 > growth["atp", "layers"]
    )
    assert growth["atp", "heads"] == pytest.approx(0.0)
