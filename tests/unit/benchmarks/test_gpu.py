"""The benchmark of a GPU, whole, with small shapes on the CPU; and what it refuses."""

import math

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_precision import difference
from ctsft.utils.errors import UserError


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_tiny_runs_every_part_and_writes_only_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = gpu.run(["--tiny", "--out", "page.md"])
    assert (tmp_path / "page.md").read_text() == page
    assert [path.name for path in tmp_path.glob("*")] == ["page.md"]
    assert all(f"## {title}" in page for title in gpu.PARTS)
    assert "too large" not in page and page.count("| 0.0e+00 |") == len(gpu.DEFAULT_VARIANTS)
    assert "| bfloat16 |" in page and "a CPU" in page and "of full" not in page


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_it_refuses_in_one_sentence():
    with pytest.raises(UserError, match="torch finds none here; run it on a machine"):
        gpu.run([])


def test_a_slow_pass_and_one_that_holds_too_much_are_marked():
    assert "over" not in gpu.pass_line("float32", 10**9, 29.0, 10**9)
    assert "over the goal" in gpu.pass_line("float32", None, 31.0, 10**9)
    assert "over the bound" in gpu.pass_line("float32", 10**9, 29.0, 2 * 10**9)


def test_the_difference_is_a_share_of_the_largest_score():
    exact = torch.tensor([1.0, -4.0, math.nan])
    assert difference(torch.tensor([1.0, -3.0, math.nan]), exact) == 0.25
