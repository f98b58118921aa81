"""The head map of Circuit: a click adds a head to the circuit or removes it."""

import streamlit as st

from ctsft.plots import head_grid, score_maps
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import binding
from explorer.session import circuit as session_circuit
from explorer.widgets import chart


def draw(shown: PageCircuit):
    view, scores = binding.view(), shown.scores
    title = ""
    if shown.is_preview:
        title = f"Preview: attribution patching, {len(scores.examples)} examples"
    figure = score_maps.head_map(
        scores, shown.circuit, model=shown.model, selected=view.head, flip=view.flip, title=title
    )
    # a new chart after each click, so that no click is applied twice
    key = current_key()

    def clicked():
        if key != current_key():
            return  # a late click on a chart that was replaced
        heads = head_grid.toggle(st.session_state[key].selection.points, ())
        for head in heads:
            session_circuit.toggle(head, scores)
        if heads:
            st.session_state.map_number += 1

    chart.show(
        figure,
        key,
        name="circuit",
        width="content",
        on_select=clicked,
        selection_mode="points",
        config={"displaylogo": False},
    )
    st.toggle("Layer 0 at the bottom", **binding.bind("flip"))


def current_key() -> str:
    return f"map-{st.session_state.setdefault('map_number', 0)}"
