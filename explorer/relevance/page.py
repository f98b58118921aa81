"""Relevance: how much every head carries the task, as a head map with the selected head's inspector
beside it.
"""

import streamlit as st

from explorer.relevance import (
    advice,
    head_on_text,
    map_panels,
    method_comparison,
    score_map,
    scoring_settings,
    scoring_state,
    side_by_side,
    validation,
)
from explorer.relevance.page_scores import PageScores
from explorer.session import binding, inputs
from explorer.text.glossary import TERMS
from explorer.widgets import head_inspector

COMPARISONS = ("Two methods", "Side by side", "Validation")


def page():
    st.header("Relevance", help=TERMS["relevance"])
    st.write(
        "How much each attention head supports the correct label (purple) or works against it"
        " (green), averaged over examples that the model answers correctly. Click a head to inspect"
        " it, then choose the circuit from the heads that matter."
    )
    model, task = inputs.model(), inputs.task()
    with st.expander("Scoring settings"):
        scoring_settings.draw(len(task.labels))
    scoring_state.draw()
    shown = PageScores.current(model, task)
    if shown:
        if shown.is_preview:
            preview_notice()
        left, right = st.columns([3, 2], gap="medium")
        with left:
            score_map.draw(shown)
            map_panels.draw(shown)
        with right:
            head_inspector.draw(shown.scores, shown.means, model, shown.circuit, choosing=True)
        head_on_text.draw(shown)
        if not shown.is_preview:
            advice.draw(shown)
        comparisons(shown)
    st.page_link(
        "circuit/page.py", label="Next: choose the circuit", icon=":material/arrow_forward:"
    )


def preview_notice():
    st.info(
        "**Preview** by attribution patching, a first-order estimate. The requested scores replace"
        " it when they are ready.",
        icon=":material/hourglass:",
    )


def comparisons(shown: PageScores):
    st.subheader("Compare and validate", help=TERMS["against"])
    st.segmented_control(
        "Compare",
        COMPARISONS,
        required=True,
        wrap=True,
        label_visibility="collapsed",
        **binding.bind("comparison"),
    )
    comparison = binding.view().comparison
    if comparison == "Two methods":
        method_comparison.draw(shown.scores, shown.run)
    elif comparison == "Side by side":
        side_by_side.draw(shown)
    else:
        validation.draw()


page()
