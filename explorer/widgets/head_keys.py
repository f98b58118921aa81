"""Arrow keys on the head map and on the head's card select the neighbouring head
(`static/head_keys.js`).
"""

from pathlib import Path

import streamlit as st

from ctsft.plots import map_axes
from explorer.session import binding
from explorer.widgets.chart import css_class

STATIC = Path(__file__).parents[1] / "static"
KEY = "head_keys"
SEQ = "head_keys_seq"  # in the session: the number of the browser's last key
CARD = "head-card"


def draw(chart: str, shape: tuple[int, int]):
    """`chart`: the key of the map's chart; `shape`: layers and heads of the model."""

    def pressed():
        change = st.session_state[KEY].head
        if change:
            st.session_state[SEQ] = int(change["seq"])
            layer, head = map(int, change["head"])
            if 0 <= layer < shape[0] and 0 <= head < shape[1]:
                binding.put(head=(layer, head))

    view = binding.view()
    component = st.components.v2.component(
        KEY, html="<span></span>", js=(STATIC / "head_keys.js").read_text("utf-8")
    )
    component(
        key=KEY,
        data={
            "seq": st.session_state.get(SEQ, 0),
            "head": list(view.head or (0, 0)),
            "layers": shape[0],
            "heads": shape[1],
            "sideways": map_axes.is_sideways(*shape),
            "flip": view.flip,
            "places": [css_class(f"map-{chart}"), CARD],
        },
        on_head_change=pressed,
    )
