"""How the heads are scored: the settings on Relevance."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ctsft.attribution.methods import METHODS
from explorer.session import binding
from explorer.session.view import View
from explorer.text.glossary import TERMS

ATTENTION = {"softmax": "Decomposed", "frozen": "Frozen"}
RULES = {"paper": "As in the paper", "symmetric": "Shared evenly"}
POSITIONS = {"all": "Every token", "readout": "Only the readout token"}

FIELDS = ("method", "attention", "positions", "rules", "size", "pool_seed")


def draw(n_labels: int):
    view = binding.view()
    left, middle, right = st.columns(3)
    left.selectbox(
        "Method",
        list(METHODS),
        format_func=lambda name: f"{METHODS[name].label} ({METHODS[name].hint})",
        **binding.bind("method"),
        help=TERMS["method"],
    )
    middle.selectbox(
        "Attention patterns",
        list(ATTENTION),
        format_func=ATTENTION.get,
        **binding.bind("attention"),
        disabled=view.method != "cdt",
        help=TERMS["patterns"],
    )
    right.selectbox(
        "Split a head at",
        list(POSITIONS),
        format_func=POSITIONS.get,
        **binding.bind("positions"),
        help=TERMS["positions"],
    )
    right.selectbox(
        "Cross terms",
        list(RULES),
        format_func=RULES.get,
        **binding.bind("rules"),
        disabled=view.method != "cdt",
        help=TERMS["cross terms"],
    )
    discovery_set(left, middle, n_labels)
    if view.scoring != View().scoring:
        right.button("Reset to defaults", on_click=reset)


def discovery_set(left: DeltaGenerator, middle: DeltaGenerator, n_labels: int):
    left.number_input(
        "Examples",
        n_labels,
        2000,
        **binding.bind("size"),
        help="Size of the discovery set. " + TERMS["discovery set"],
    )
    middle.number_input(
        "Seed",
        0,
        10**6,
        **binding.bind("pool_seed"),
        help="Draws the discovery set. " + TERMS["seed"],
    )


def reset():
    defaults = View()
    binding.put(**{name: getattr(defaults, name) for name in FIELDS})
