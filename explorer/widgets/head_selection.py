"""A click on a chart selects the head that it hits."""

from collections.abc import Callable

import streamlit as st

from ctsft.plots import head_grid
from explorer.session import binding


def on_click(key: str) -> Callable[[], None]:
    """A callback for the chart `key`. Points without `customdata`, such as logits, are no heads."""

    def select():
        points = st.session_state[key]["selection"]["points"]
        heads = [point for point in points if point.get("customdata") is not None]
        for head in head_grid.toggle(heads[-1:], ()):
            binding.put(head=head)

    return select
