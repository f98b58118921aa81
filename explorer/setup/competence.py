"""Competence tuning on Setup: a model that guesses has no circuit to find, so it is first tuned on
the source language.
"""

import streamlit as st

from ctsft import runs
from ctsft.runs import results
from explorer.session import binding, inputs, score_runs, start_runs
from explorer.setup.measured_accuracy import MeasuredAccuracy
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import cost_estimate, run_progress
from explorer.widgets.run_receipts import covered_by


def draw(source: MeasuredAccuracy, never: tuple[str, ...] = ()):
    """A warning where the model guesses, or gives labels as no answer (`never`), with the form that
    tunes it, and the tuned model.
    """
    view = binding.view()
    run = score_runs.find_run(
        "finetune", lambda request: request.competence and request.subject == view.subject
    )
    if not source.near_chance and not never and not (run and run.status().active):
        return
    if never:
        st.warning(
            f"In {literal(view.source)} the model answers {literal(', '.join(never))} for none of"
            f" {source.rows} rows. Scoring needs correctly predicted rows of every label, so it may"
            " fail. What helps: another prompt or other label words (below), competence tuning, or"
            " another model.",
            icon=":material/rule:",
        )
    elif source.near_chance:
        st.warning(
            f"In {literal(view.source)} this model is hardly better than guessing"
            f" ({source.accuracy:.2f}; guessing reaches {source.chance:.2f}), so the scores of its"
            " heads would mean little. Tune the whole model on the source language first"
            " (competence tuning), or choose another model.",
            icon=":material/school:",
        )
    if run:
        run_progress.watch(run)
        if run.status().active:
            return
        offer_tuned_model(run)
    with st.expander("Competence tuning", expanded=not run):
        tuning_form()


def offer_tuned_model(run: runs.Run):
    if not run.file("model/config.json").is_file():
        return
    evaluations = results.evaluations(run)
    text = "The tuned model is ready."
    if evaluations:
        accuracy = evaluations[-1]["accuracy"][binding.view().source]
        text += f" Its accuracy on the validation rows is {accuracy:.2f}."
    with covered_by("competence", run):
        st.success(text, icon=":material/check:")
    st.button("Load the tuned model", on_click=load_tuned, args=(str(run.file("model")),))


def load_tuned(folder: str):
    binding.put(model_kind="folder", folder=folder, model=folder)
    binding.forget_circuit()


def tuning_form():
    view = binding.view()
    left, right = st.columns(2)
    epochs = left.number_input(
        "Epochs",
        1,
        50,
        3,
        key="competence_epochs",
        help="Passes over the rows of the source language.",
    )
    rate = right.number_input(
        "Learning rate",
        1e-6,
        1e-2,
        5e-5,
        format="%.1e",
        key="competence_rate",
        help="5e-5 in the paper (CT-SFT, arXiv 2601.08146). A small model needs a larger one.",
    )
    task = inputs.load_task(view.task, view.data_dir)
    rows = inputs.load_rows(view.task, view.data_dir, view.source, view.split)
    n = len(task.pools(rows)[0])
    cost_estimate.of_rows(
        n * epochs,
        "Tuning",
        cost_estimate.FULL_TUNING,
        f"{epochs} passes over {n} rows, and the evaluations",
    )
    if st.button(
        f"Tune on {literal(view.source)}",
        help=TERMS["competence"]
        + " All parameters are trained. The result is saved as a new model; this one does not"
        " change.",
    ):
        start_runs.start_competence(view, epochs, rate)
        st.rerun()
