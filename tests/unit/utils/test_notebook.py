"""Scores and circuits show themselves in a notebook, with plotly and without."""

import sys

import pytest

from ctsft.circuit.circuit import Circuit
from ctsft.utils import notebook
from support.scores import made

SCORES = made([[0.5, -1.0], [0.25, 2.0]])
CIRCUIT = Circuit(frozenset({(1, 1)}), {(1, 1): "<b>rank 1</b>"}, {"n_layers": 2, "n_heads": 2})


@pytest.mark.parametrize("shown", [SCORES, CIRCUIT])
def test_a_table_and_a_map(shown):
    page = shown._repr_html_()
    assert "<td>L1.H1</td>" in page and "plotly" in page and "Plotly.newPlot" in page


@pytest.mark.parametrize("shown", [SCORES, CIRCUIT])
def test_without_plotly_the_table_alone(shown, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("ctsft.plots.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    page = shown._repr_html_()
    assert "<td>L1.H1</td>" in page and "plotly" not in page


def test_reasons_are_escaped_and_a_circuit_of_unknown_shape_has_no_map():
    page = Circuit(CIRCUIT.heads, CIRCUIT.why)._repr_html_()
    assert "&lt;b&gt;rank 1&lt;/b&gt;" in page and "plotly" not in page


def test_the_first_heads_are_listed_by_rank():
    page = SCORES._repr_html_()
    assert page.index("L1.H1") < page.index("L0.H0") < page.index("L0.H1")
    assert "2 x 2 heads on 2 examples" in page


def test_other_missing_modules_are_errors():
    with pytest.raises(ModuleNotFoundError, match="no_such_chart"):
        notebook.figure_html(lambda plots: plots("no_such_chart"))
