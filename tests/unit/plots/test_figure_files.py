"""Figures as files: their numbers as CSV, themselves as one page that asks nothing of the network
and shows foreign text as text.
"""

import csv
import io

import numpy as np
import plotly.graph_objects as go
from streamlit.testing.v1 import AppTest

from ctsft.plots import accuracy_curves, head_grid, score_charts
from ctsft.plots.figure_files import figure_csv, figures_page, plain_text
from ctsft.plots.run_frontier import run_frontier
from support.html import NASTY, Tags, at_peace, rest


def table(fig) -> list[dict]:
    return list(csv.DictReader(io.StringIO(figure_csv(fig))))


def test_a_map_is_a_row_a_head_and_its_strokes_are_none():
    values = np.array([[1.0, -2.0, 0.5], [0.25, 4.0, np.nan]])
    hover = [
        [f"<b>L{layer}.H{head}</b><br>in &amp; out" for head in range(3)] for layer in range(2)
    ]
    rows = table(
        head_grid.head_grid(
            values, head_grid.Marks(frozenset({(0, 1)}), selected=(1, 1)), hover=hover
        )
    )
    assert len(rows) == 6 and list(rows[0]) == ["series", "head", "layer", "value", "note"]
    assert rows[1] | {"series": ""} == {
        "series": "",
        "head": "1",
        "layer": "0",
        "value": "-2.0",
        "note": "L0.H1; in & out",
    }
    assert rows[5]["value"] in ("", "nan")


def test_points_bring_their_series_and_the_ends_of_their_intervals():
    rows = table(score_charts.label_bars({"good": 1.0, "bad": -1.0}, {"good": 0.25, "bad": 0.5}))
    assert [(row["series"], row["x low"], row["x high"]) for row in rows] == [
        ("good", "0.75", "1.25"),
        ("bad", "-1.5", "-0.5"),
    ]
    rows = table(
        accuracy_curves.accuracy_curves(
            [{"step": 5, "id": 0.5}], {"id": "source"}, {"id": 0.75}, total_steps=5
        )
    )
    assert [(row["series"], row["accuracy"]) for row in rows] == [("id", "0.75"), ("id", "0.5")]
    assert next(key for key in rows[0] if key.startswith("optimiser steps"))


def test_arrays_gaps_and_formulas():
    fig = go.Figure(
        [
            go.Scatter(x=np.array([1, 2, 3]), y=[4, None, 6], name="=cmd()", text="for all"),
            go.Scatter(x=[None], y=[None]),
        ]
    )
    assert [(row["series"], row["x"], row["y"]) for row in table(fig)] == [
        ("'=cmd()", "1", "4"),
        ("'=cmd()", "3", "6"),
    ]
    assert table(go.Figure()) == [] and plain_text("<b>a</b><br/>b &lt;i&gt;") == "a; b <i>"


def test_a_page_holds_all_it_needs_and_foreign_text_as_text():
    fig = score_charts.example_points(
        np.array([1.0, 2.0]), [NASTY, "good"], [NASTY, "b"], title=NASTY
    )
    page = figures_page({NASTY: fig, "": run_frontier([])}, NASTY)
    assert (
        at_peace(page)
        and Tags(rest(page)).tags.count("script") == rest(page).count("Plotly.newPlot") + 1
    )
    assert "<script>window.pwned" not in page and "&lt;script&gt;window.pwned" in page
    assert page.count('role="img"') == 2 and "prefers-color-scheme: dark" in page
    assert not at_peace(page.replace("<h1>", f"<h1>{NASTY}")), "the check can fail"


APP = """
import numpy as np
from ctsft.plots import head_grid
from explorer.widgets import chart
fig = head_grid.head_grid(np.eye(3), title="A <map>")
chart.show(fig, "strip-(0, 1)", width="content")
"""


def test_show_draws_the_chart_with_its_words_and_offers_files():
    at = AppTest.from_string(APP, default_timeout=60).run()
    assert not at.exception
    chart = at.get("plotly_chart")[0].proto
    assert "A <map>: relevance" in chart.alt
    assert [one.proto.label for one in at.get("download_button")] == ["HTML", "CSV"]
