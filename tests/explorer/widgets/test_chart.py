"""Charts: two quick clicks leave their axes where they are."""

import json

from streamlit.testing.v1 import AppTest


def page():
    import plotly.graph_objects as go

    from explorer.widgets import chart

    figure = go.Figure(layout={"meta": {"alt": "a chart"}})
    chart.show(figure, "one")
    chart.plain(figure, "two")


def test_a_double_click_moves_no_axes():
    charts = AppTest.from_function(page).run().get("plotly_chart")
    assert [json.loads(one.proto.config)["doubleClick"] for one in charts] == ["reset", "reset"]
