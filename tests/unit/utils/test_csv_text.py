"""CSV exports: no cell starts a formula, and numbers stay numbers."""

import csv
import io

import numpy as np
import pytest
import torch

from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.experiment import tables
from ctsft.jobs import tuning_table
from ctsft.plots import score_charts
from ctsft.plots.figure_files import figure_csv
from ctsft.utils.csv_text import csv_text, no_formula

FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("http://x")',
    " =1+1",
    "-",
    "+e",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_gets_an_apostrophe(text):
    assert no_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", [-1, -0.5, "-0.5", "+3", "-1e-05", "a=b", "", None, True, "−1"])
def test_other_values_stay(value):
    assert no_formula(value) is value


def test_a_row_is_read_back():
    text = csv_text(["=a", "b"], [{"=a": "x,y", "b": -1.5, "more": 1}, {"=a": "=1", "b": None}])
    assert list(csv.reader(io.StringIO(text))) == [["'=a", "b"], ["x,y", "-1.5"], ["'=1", ""]]


def exports(text: str):
    """Every CSV export with a text of unknown origin in it."""
    scores = Scores(
        torch.tensor([[[-1.0, 2.0]], [[1.0, 2.0]]]),
        ["a", "b"],
        [text, "b"],
        "cdt",
        ScoreConfig(),
        {},
    )
    yield scores.csv()
    yield tables.as_csv([{"setting": text, "gain": -0.5, text: -1.0}])
    row = dict.fromkeys(tuning_table.COLUMNS, -1.0)
    yield tuning_table.table_csv([row | {tuning_table.COLUMNS[1]: text}])
    yield figure_csv(score_charts.example_points(np.array([-1.0, 2.0]), [text, "b"], ["a", "b"]))


@pytest.mark.parametrize("text", FORMULAS[:4])
def test_no_export_starts_a_formula(text):
    seen = 0
    for export in exports(text):
        cells = [cell for row in csv.reader(io.StringIO(export)) for cell in row]
        starts = [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        assert all(float(cell) < 0 for cell in starts), starts
        seen += any(text in cell for cell in cells)
    assert seen == 4
