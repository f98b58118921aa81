"""A row of Compare's table and its curve stand out together under the mouse
(`static/row_highlight.js`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from ctsft.utils.format import hover_text
from explorer.compare.filters import Entry
from explorer.widgets.chart import css_class

STATIC = Path(__file__).parents[1] / "static"


def draw(table: str, chart: str, entries: Sequence[Entry], lines: Mapping[str, str]):
    """`table`, `chart`: keys; `lines`: {run: name of the line that draws it}."""
    component = st.components.v2.component(
        "row_highlight",
        html="<span></span>",
        js=(STATIC / "row_highlight.js").read_text("utf-8"),
    )
    component(
        key="row_highlight",
        data={
            "table": css_class(table),
            "chart": css_class(f"chart-{chart}"),
            "lines": lines_of(entries, lines),
        },
    )


def lines_of(entries: Sequence[Entry], lines: Mapping[str, str]) -> list[str]:
    """The line of each row of the table, as the chart's traces write it; "" without one."""
    return [
        hover_text(lines[entry[0]["run"]]) if entry[0]["run"] in lines else "" for entry in entries
    ]
