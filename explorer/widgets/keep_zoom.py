"""A chart that is drawn again keeps its zoom: Streamlit replaces a chart whose figure changed.

The zoom stays in the browser, stored under the key of each chart; a double click shows everything
again. The script is `static/keep_zoom.js`.
"""

from pathlib import Path

import streamlit as st

SCRIPT = Path(__file__).parents[1] / "static" / "keep_zoom.js"


def keep():
    """Call once in each run of the script, on every page."""
    component = st.components.v2.component(
        "keep_zoom", html="<span></span>", js=SCRIPT.read_text("utf-8")
    )
    component(key="keep_zoom")
