"""Clicks on the cells of a head map, or on the points of another chart. They are heard by the
browser (`static/head_hits.js`), also while Plotly draws the chart again; each is applied once
(`static/head_clicks.js`).
"""

from collections.abc import Callable, Collection
from pathlib import Path

import streamlit as st

from explorer.widgets.chart import css_class

STATIC = Path(__file__).parents[1] / "static"


def script(name: str) -> str:
    """A script of `static/` behind the one that finds the heads under the mouse."""
    return "\n".join((STATIC / one).read_text("utf-8") for one in ("head_hits.js", name))


Point = tuple[int, ...]  # a head, or another point's `customdata`


def draw(chart: str, heads: Collection[Point], heard: Callable[[Point], None]):
    """`chart`: the key of the chart; `heard`: called in a callback with each of `heads` that is
    clicked, in order.
    """
    key, counter = f"head_clicks_{chart}", f"head_clicks_seq_{chart}"

    def clicked():
        for click in st.session_state[key].clicks or ():
            if int(click["seq"]) <= st.session_state.get(counter, 0):
                continue  # sent again
            st.session_state[counter] = int(click["seq"])
            head = tuple(map(int, click["head"]))
            if head in heads:
                heard(head)

    component = st.components.v2.component(
        "head_clicks", html="<span></span>", js=script("head_clicks.js")
    )
    component(
        key=key,
        data={"container": css_class(f"chart-{chart}"), "seq": st.session_state.get(counter, 0)},
        on_clicks_change=clicked,
    )
