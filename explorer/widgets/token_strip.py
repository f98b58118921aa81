"""A text as a strip of tokens, coloured by what a head takes from each of them towards the correct
label; under the pointer, where a token attends. Drawn in the browser (`static/token_strip.js`).
"""

from pathlib import Path

import streamlit as st

from ctsft.attribution.head_view import HeadView

STATIC = Path(__file__).parents[1] / "static"
PARTS = ("html", "css", "js")
DIGITS = 5  # of what is sent


def draw(head_view: HeadView, key: str):
    parts = {part: (STATIC / f"token_strip.{part}").read_text("utf-8") for part in PARTS}
    component = st.components.v2.component("token_strip", isolate_styles=False, **parts)
    component(key=key, data=contents(head_view))


def contents(head_view: HeadView) -> dict:
    return {
        "tokens": head_view.pieces,
        "effects": [round(value, DIGITS) for value in head_view.by_source.tolist()],
        "attention": [
            [round(value, DIGITS) for value in row] for row in head_view.attention.tolist()
        ],
        "readout": head_view.readout,
    }
