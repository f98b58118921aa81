"""Competence tuning on Setup: a model that guesses has no circuit to find, so it is tuned on the
source language first.
"""

from dataclasses import asdict

import streamlit as st

from ctsft.runs import results
from explorer.session import binding, inputs, score_runs, start_runs
from explorer.setup.facts import Measured
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import cost_estimate, run_progress


def draw(source: Measured):
    """Says that the model guesses, offers to tune it, watches that, and offers the tuned model."""
    now = binding.view()
    run = score_runs.find_run("finetune", competence=now.model, subject=asdict(now.subject))
    if not source.near_chance and not (run and run.status().active):
        return
    if source.near_chance:
        st.warning(
            f"In {literal(now.source)} this model hardly does better than guessing"
            f" ({source.accuracy:.2f} against {source.chance:.2f}): heads found here would mean"
            " little. Tune the whole model on the source language first (competence tuning), or"
            " choose another model.",
            icon=":material/school:",
        )
    if run:
        run_progress.watch(run)
        if run.status().active:
            return
        if run.file("model/config.json").is_file():
            after = results.evaluations(run)
            reached = (
                f" It reached {after[-1]['accuracy'][now.source]:.2f} on the validation rows."
                if after
                else ""
            )
            st.success(f"A tuned model is there.{reached}", icon=":material/check:")
            st.button("Load the tuned model", on_click=load_tuned, args=(str(run.file("model")),))
    with st.expander("Competence tuning", expanded=not run):
        left, right = st.columns(2)
        epochs = left.number_input(
            "Epochs",
            1,
            50,
            3,
            key="competence_epochs",
            help="Passes over the source language's rows.",
        )
        rate = right.number_input(
            "Learning rate",
            1e-6,
            1e-2,
            5e-5,
            format="%.1e",
            key="competence_rate",
            help="5e-5 in the paper (CT-SFT, arXiv 2601.08146); a small model needs a larger one.",
        )
        rows = len(
            inputs.load_task(now.task, now.data_dir).pools(
                inputs.load_rows(now.task, now.data_dir, now.source, now.split)
            )[0]
        )
        cost_estimate.of_rows(
            rows * epochs,
            "Tuning",
            cost_estimate.TUNED,
            f"{epochs} passes over {rows} rows, and its evaluations",
        )
        if st.button(
            f"Tune on {literal(now.source)}",
            help=TERMS["competence"]
            + " Every parameter moves. The result is a model of its own; this one stays as it is.",
        ):
            start_runs.start_competence(now, epochs, rate)
            st.rerun()


def load_tuned(folder: str):
    binding.put(model_kind="folder", folder=folder, model=folder)
    binding.forget_circuit()
