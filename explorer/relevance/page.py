"""Relevance: how much every head carries the task, as a head map that stays in view, with one of
its sections beside it.
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
    templates,
    validation,
)
from explorer.relevance.page_scores import PageScores
from explorer.session import binding, head_notes, inputs, predictions, score_runs
from explorer.text.glossary import TERMS
from explorer.widgets import head_inspector, head_pins
from explorer.widgets.page_address import PANELS
from explorer.widgets.run_receipts import covered_by

COLOURS = "Purple heads support the correct label, green ones work against it."
COMPARISONS = ("Two methods", "Side by side", "Validation", "Templates")


def page():
    st.header("Relevance", help=f"{TERMS['relevance']} {COLOURS}")
    model, task = inputs.model(), inputs.task()
    labels = len(task.labels)
    if score_runs.scores()[0] is None:
        st.write(
            "How much each attention head supports the correct label or works against it, averaged"
            " over examples that the model answers correctly."
        )
        settings(labels)
    scoring_state.draw(model, task)
    shown = PageScores.current(model, task)
    if shown:
        map_and_sections(shown, labels)
    st.page_link(
        "circuit/page.py", label="Next: choose the circuit", icon=":material/arrow_forward:"
    )


def settings(labels: int):
    with st.expander("Scoring settings"):
        scoring_settings.draw(labels)


def map_and_sections(shown: PageScores, labels: int):
    """The map at the left, which stays in view; one section at a time at its right."""
    if shown.is_preview:
        preview_notice()
    left, right = st.columns(2, gap="medium")
    beside = []
    if not shown.is_preview:
        beside = predictions.runs_beside(shown.circuit, shown.scores, shown.run)
    with left, st.container(key="stays-in-view"), covered_by("map", shown.run, *beside):
        score_map.draw(shown)
    with right:
        st.segmented_control(
            "Section",
            PANELS["section"],
            required=True,
            wrap=True,
            label_visibility="collapsed",
            **binding.bind("section"),
        )
        with covered_by("section", shown.run):
            SECTIONS[binding.view().section](shown)
    notes = head_notes.of_heads(shown.run, shown.model.heads)
    head_pins.draw(shown.scores, shown.circuit, shown.run, notes)
    score_map.downloads(shown)
    settings(labels)


def head(shown: PageScores):
    head_inspector.draw(shown.scores, shown.means, shown.model, shown.circuit, choosing=True)


def on_a_text(shown: PageScores):
    if head_inspector.select(shown.scores):
        head_on_text.draw(shown)


def advised(shown: PageScores):
    if shown.is_preview:
        st.info("Advice needs the final scores.", icon=":material/hourglass:")
        return
    advice.draw(shown)


def preview_notice():
    st.info(
        "**Preview**: an estimate of removing each head (attribution patching), not of CD-T. The"
        " requested scores replace it when they are ready.",
        icon=":material/hourglass:",
    )


def comparisons(shown: PageScores):
    st.segmented_control(
        "Compare and validate",
        COMPARISONS,
        required=True,
        wrap=True,
        **binding.bind("comparison"),
        help=TERMS["against"],
    )
    comparison = binding.view().comparison
    if comparison == "Two methods":
        method_comparison.draw(shown.scores, shown.run)
    elif comparison == "Side by side":
        side_by_side.draw(shown)
    elif comparison == "Validation":
        validation.draw()
    else:
        templates.draw(shown.model, shown.task)


SECTIONS = dict(
    zip(PANELS["section"], (head, on_a_text, map_panels.draw, advised, comparisons), strict=True)
)

page()
