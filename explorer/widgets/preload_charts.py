"""The next page's first chart appears at once: on a page without charts, the browser loads Plotly
once it has nothing else to do (`static/preload_charts.js`). Streamlit would load it with the first
chart, and that takes a second or two.
"""

from functools import lru_cache
from pathlib import Path

import streamlit as st
from streamlit import file_util

SCRIPT = Path(__file__).parents[1] / "static" / "preload_charts.js"


@lru_cache(maxsize=1)
def chart_file() -> str | None:
    """The name of Streamlit's file with Plotly; None where it is not in the expected folder."""
    found = sorted(Path(file_util.get_static_dir(), "static", "js").glob("PlotlyChart.*.js"))
    return found[0].name if found else None


def preload():
    if name := chart_file():
        component = st.components.v2.component(
            "preload_charts", html="<span></span>", js=SCRIPT.read_text("utf-8")
        )
        component(key="preload_charts", data=name)
