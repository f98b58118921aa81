"""The rule that selects the circuit, its settings, and undo."""

import streamlit as st

from ctsft.attribution.scores import Scores
from ctsft.utils import format
from explorer.session import binding
from explorer.session import circuit as session_circuit
from explorer.session.rule_order import SMALLEST_SHARE
from explorer.text import circuit_rules
from explorer.text.glossary import TERMS
from explorer.widgets import advice_notice

SIZED = ("top", "advised", "near_zero", "least", "random")  # rules that take k heads


def draw(scores: Scores):
    view = binding.view()
    rules = circuit_rules.RULES
    if view.discovered or view.rule == "discover":
        rules = rules | circuit_rules.DISCOVERED
    st.segmented_control(
        "Rule",
        list(rules),
        format_func=lambda name: rules[name][0],
        required=True,
        wrap=True,
        **binding.bind("rule"),
        help=f"{TERMS['rule']} {rules[view.rule][0]}: {rules[view.rule][1]} {TERMS[view.rule]}",
    )
    if view.rule == "advised":
        advice_notice.draw()
    settings(scores)
    history_buttons()


def settings(scores: Scores):
    """The settings of the current rule."""
    rule, n_heads = binding.view().rule, scores.values.numel()
    if binding.view().k > n_heads:
        binding.put(k=n_heads)
    if rule in SIZED:
        st.number_input(
            f"Heads (k), of {n_heads}",
            0,
            n_heads,
            **binding.bind("k"),
            help="How many heads the rule selects. The line under the map changes it too.",
        )
    if rule == "threshold":
        threshold = format.number(session_circuit.threshold(scores))
        st.caption(
            f"Score of at least {threshold}: drag the line under the map.", help=TERMS["threshold"]
        )
    if rule == "fraction":
        st.number_input(
            f"Share of the {n_heads} heads",
            SMALLEST_SHARE,
            1.0,
            step=0.01,
            format="%.4g",
            **binding.bind("fraction"),
            help=TERMS["fraction"],
        )
    if rule == "random":
        st.number_input(
            "Seed", 0, circuit_rules.MOST_SEEDS, **binding.bind("random_seed"), help=TERMS["seed"]
        )


def history_buttons():
    view = binding.view()
    with st.container(horizontal=True, gap="small", key="history"):
        st.button(
            "Undo",
            icon=":material/undo:",
            on_click=binding.undo,
            disabled=not view.past,
            shortcut="Mod+Z",
            help="Undo the last change of the rule or of a head (Ctrl+Z, or ⌘Z).",
        )
        st.button(
            "Redo",
            icon=":material/redo:",
            on_click=binding.redo,
            disabled=not view.future,
            shortcut="Mod+Y",
            help="Redo the change that was undone last (Ctrl+Y, or ⌘Y).",
        )
        st.button(
            "Clear edits",
            icon=":material/ink_eraser:",
            on_click=session_circuit.clear_edits,
            disabled=not view.added | view.removed,
            help="Undo all changes by hand: what the rule alone selects.",
        )
