"""Circuit: choose heads by a rule and by hand, see how many parameters they train, and check how
much of the task they preserve.
"""

import streamlit as st

from ctsft import runs
from explorer.circuit import (
    circuit_file,
    circuit_map,
    discovery,
    faithfulness,
    head_table,
    overlap,
    predicted,
    rule_controls,
    saved,
    trainable_counts,
)
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import binding, head_notes, inputs, predictions, score_runs, start_runs
from explorer.session import circuit as session_circuit
from explorer.text.glossary import TERMS
from explorer.widgets import head_inspector, head_pins, run_progress
from explorer.widgets.page_address import PANELS
from explorer.widgets.run_receipts import covered_by

HOW = "Choose a rule, drag the line under the map, or click heads to add or remove them."


def page():
    st.header("Circuit", help=f"{TERMS['circuit']} {HOW}")
    model = inputs.model()
    scores, kind = score_runs.scores()
    if scores is None:
        inputs.task()  # a task that cannot be read is the error to show
        run_progress.unscored("every rule chooses by score")
        return
    if kind == "preview":
        preview_notice()
    session_circuit.select_first_head(scores, model.heads)
    shown = PageCircuit.current(model, scores, is_preview=kind == "preview")
    choose_heads(shown)
    circuit_file.draw(shown)
    look_closer(shown)
    st.page_link(
        "finetune/page.py", label="Next: tune this circuit", icon=":material/arrow_forward:"
    )


def preview_notice():
    st.info(
        "These are preview scores: an estimate of removing each head, not of CD-T. When the final"
        " scores are ready, the same rule selects the circuit again. Changes by hand stay.",
        icon=":material/hourglass_top:",
    )
    run_progress.watch(score_runs.score_run(start_runs.ACTIVE), savable=False)


def choose_heads(shown: PageCircuit):
    left, right = st.columns([3, 2], gap="medium")
    with left, covered_by("map", shown.run, *faithfulness_runs(shown)):
        circuit_map.draw(shown)
        predicted.draw(shown)
        head_table.draw(shown)
        trainable_counts.draw(shown)
    with right:
        rule_controls.draw(shown.scores)
        means = score_runs.means_of(shown.run)
        with covered_by("head", shown.run):
            head_inspector.draw(shown.scores, means, shown.model, shown.circuit)
    notes = head_notes.of_heads(shown.run, shown.model.heads)
    head_pins.draw(shown.scores, shown.circuit, shown.run, notes)


def faithfulness_runs(shown: PageCircuit) -> list[runs.Run]:
    if shown.is_preview:
        return []
    return predictions.runs_beside(shown.circuit, shown.scores, shown.run)


def look_closer(shown: PageCircuit):
    st.subheader("Look closer", help="Is it enough: " + TERMS["faithfulness"])
    st.segmented_control(
        "Section",
        PANELS["circuit_panel"],
        required=True,
        wrap=True,
        label_visibility="collapsed",
        **binding.bind("circuit_panel"),
    )
    panel = binding.view().circuit_panel
    if panel == "Saved circuits":
        with covered_by("saved", shown.run):
            saved.draw(shown)
    elif panel == "Overlap":
        overlap.draw(shown)
    elif panel == "Discovery":
        discovery.draw(shown.model, shown.circuit)
    else:
        faithfulness.draw(shown)


page()
