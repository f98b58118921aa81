"""Faithfulness of the circuit under one's hands: predicted at once after a run that measures
circuits in the background, measured on request.
"""

import streamlit as st

from ctsft.jobs.requests import SurrogateRequest
from ctsft.utils.errors import UserError
from ctsft.utils.units import duration_text
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import (
    binding,
    computed,
    inputs,
    predictions,
    recording,
    score_runs,
    start_runs,
)
from explorer.session import circuit as session_circuit
from explorer.text.glossary import TERMS
from explorer.widgets import cost_estimate, run_progress
from explorer.widgets.run_receipts import covered_by

START = "Predict faithfulness while I edit"
FEW_ROWS = 16  # whose forward pass is timed


def draw(shown: PageCircuit):
    scored = score_runs.score_run(("done",))
    if shown.is_preview or scored is None:
        return
    active = predictions.surrogate_run(scored, start_runs.ACTIVE)
    known = predictions.known(shown.circuit, shown.scores, scored)
    if known:
        with st.container(horizontal=True, vertical_alignment="center"):
            with covered_by("predicted", known.run):
                st.markdown(known.sentence, help=TERMS["predicted"])
            if not known.prediction.measured and recording.current() is None:
                measure(shown, scored)
    if active:
        run_progress.watch(active)
    elif recording.current() is None and not predictions.surrogate_of_rows(scored):
        start(scored)


def measure(shown: PageCircuit, scored):
    """A button that measures this very circuit; its run, while it is active."""
    run = predictions.measuring(shown.circuit, scored, start_runs.ACTIVE)
    if run:
        run_progress.watch(run, savable=False)
    elif st.button("Measure it", type="tertiary", help="A forward pass over all validation rows."):
        start_runs.start_measurement(
            binding.view(), scored, session_circuit.write_circuit(shown.circuit)
        )
        st.rerun()


def start(scored):
    view = binding.view()
    seconds = cost_seconds()
    cost = f" (about {duration_text(seconds)})" if seconds is not None else ""
    if st.button(
        f"{START}{cost}",
        help=(
            f"Measures {SurrogateRequest.model_fields['circuits'].default} circuits once, in the"
            f" background. {TERMS['predicted']}"
        ),
    ):
        start_runs.start_surrogate(view, scored)
        st.rerun()


def cost_seconds() -> float | None:
    """Seconds that the measurements would take; None where they are not estimated (a large model,
    until it is requested).
    """
    view, fields = binding.view(), SurrogateRequest.model_fields
    model = inputs.load_model(view.model)
    if not cost_estimate.requested(
        ("surrogate", view.subject), "cost-surrogate", "Runs one forward pass over a few rows."
    ):
        return None
    try:
        rows = (view.task, view.data_dir, view.source, "valid")
        count = min(len(inputs.load_rows(*rows)), fields["rows"].default)
        per_row = computed.forward_seconds(view.model, model.fingerprint, rows, FEW_ROWS)
    except UserError:
        return None
    return per_row * count * fields["circuits"].default
