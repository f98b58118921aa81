"""A chart on a page: with a description for screen readers, and a menu that exports it as a file.

PNG and SVG are made in the browser from what it shows, zoom included. HTML and CSV are made on the
server, only when they are requested.
"""

import re
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from ctsft.plots import figure_files, style
from ctsft.utils.file_names import slug

STATIC = Path(__file__).parents[1] / "static"
EXPORT_PARTS = ("html", "css", "js")
# two quick clicks on points are a double click for Plotly, which would also move unchanged axes,
# and the points with them
STILL_AXES = {"doubleClick": "reset"}
NO_MODE_BAR = {"displayModeBar": False, **STILL_AXES}


def show(
    fig: go.Figure,
    key: str,
    *,
    alt: str = "",
    name: str = "",
    width: str = "stretch",
    **options,
):
    """`st.plotly_chart` with a description and an export menu; returns the chart's event.

    `alt`: the description (default: `style.alt`); `name`: of the exported files (default: the key);
    `options`: of `st.plotly_chart`.
    """
    with st.container(key=f"chart-{key}", gap=None, width=width):
        event = st.plotly_chart(
            fig,
            key=key,
            width=width,
            alt=alt or style.alt(fig),
            **{"config": NO_MODE_BAR, **options},
        )
        with st.popover("Export", type="tertiary", icon=":material/download:", key=f"export-{key}"):
            export_menu(fig, key, slug(name or key, "chart", also=".", longest=120).lower())
    return event


def plain(fig: go.Figure, key: str, height: str = "content"):
    """The chart alone, with its description."""
    st.plotly_chart(fig, key=key, height=height, alt=style.alt(fig), config=NO_MODE_BAR)


def export_menu(fig: go.Figure, key: str, name: str):
    image_buttons()(
        data={
            "container": css_class(f"chart-{key}"),
            "name": name,
            "fixed_width": fig.layout.width is not None,
        },
        key=f"images-{key}",
    )
    with st.container(horizontal=True, gap="xsmall"):
        st.download_button(
            "HTML",
            lambda: figure_files.figures_page({"": fig}, title_of(fig, name)),
            f"{name}.html",
            "text/html",
            key=f"html-{key}",
            on_click="ignore",
            width="stretch",
            help="A page that opens without a network connection.",
        )
        st.download_button(
            "CSV",
            lambda: figure_files.figure_csv(fig),
            f"{name}.csv",
            "text/csv",
            key=f"csv-{key}",
            on_click="ignore",
            width="stretch",
            help="The values that the chart shows.",
        )


def css_class(key: str) -> str:
    """The part after "st-key-" of the CSS class that Streamlit gives a container with this key."""
    return re.sub(r"[^a-zA-Z0-9_-]", "-", key)


def image_buttons():
    """The component with the PNG and SVG buttons, which the browser handles alone."""
    parts = {kind: (STATIC / f"chart_export.{kind}").read_text("utf-8") for kind in EXPORT_PARTS}
    return st.components.v2.component("chart_export", **parts)


def title_of(fig: go.Figure, default: str) -> str:
    return figure_files.plain_text(fig.layout.title.text or "") or default
