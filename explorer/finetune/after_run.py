"""After a tuning run: its result in a sentence, and panels on how much each head changed, whether
the circuit is still the same, and the files to download.
"""

import streamlit as st

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.jobs import tuning_table
from ctsft.jobs.requests import needed_request
from ctsft.runs import results
from ctsft.runs.answers import answers_of
from explorer.finetune import (
    exported_model,
    rescored_heads,
    share_slider,
    weight_changes,
)
from explorer.session import binding, errors, next_runs
from explorer.text import outcomes
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal_sentence
from explorer.text.run_names import recipe_name

PANELS = ("What changed", "Did the circuit change?", "Files and export")


def draw(run: runs.Run, score_run: runs.Run | None):
    """For a run that has ended; shows nothing while there is no result. `score_run`: of the current
    scores, by which the heads of controls are chosen.
    """
    row = tuning_table.table_row(run)
    if row and row["state"] in outcomes.ENDED:
        said = outcomes.outcome(row, answers_of(run), split_of(run))
        finding, rests_on = said.rsplit("\n", 1)
        st.markdown(finding, help=f"{rests_on} {TERMS['mcnemar']}")
        changed_parameters(results.result(run))
        follow_up(run, score_run)
    if run.file("delta.safetensors").is_file() and results.result(run):
        with errors.sentences(stop=False):
            share_slider.draw(run)
        panels(run)


def follow_up(run: runs.Run, score_run: runs.Run | None):
    """The runs that a result needs before it means something, each with one click."""
    repeats = next_runs.repeats(run)
    controls = next_runs.controls(run, score_run)
    with st.container(horizontal=True):
        if repeats and st.button(
            "Repeat over 4 seeds",
            icon=":material/repeat:",
            help="The same settings with other rows, in another order: one seed proves little.",
        ):
            next_runs.start(repeats)
            st.rerun()
        if controls and st.button(
            "Compare with controls",
            icon=":material/compare_arrows:",
            help=(
                "The same rows and settings with"
                f" {' and '.join(recipe_name(one.tuning.what).lower() for one in controls)}."
                " A result is meaningful only in comparison."
            ),
        ):
            st.session_state.tune_next = next_runs.start(controls)[-1].id
            st.rerun()


def changed_parameters(result: dict):
    """How many of the trained parameters really changed, and the notes of the run."""
    if "changed" in result:
        share = f"{result['changed']:,} of {result['trainable']:,} trained parameters changed."
        st.caption(literal_sentence(" ".join([share, *result.get("notes", ())])))
    outside = result.get("outside")
    if outside and outside["identical"] < outside["parameters"]:
        errors.show_error(outside["text"])
    elif outside:
        st.caption(f"Compared after the run: {outside['text']}", help=TERMS["outside"])


def panels(run: runs.Run):
    panel = st.segmented_control(
        "After the run",
        PANELS,
        required=True,
        **binding.bind("after_panel"),
        help=TERMS["rescoring"],
    )
    heads = trained_heads(run)
    with errors.sentences(stop=False):
        if panel == PANELS[0]:
            weight_changes.draw(run, heads)
        elif panel == PANELS[1]:
            rescored_heads.draw(run, heads)
        else:
            exported_model.draw(run)


def split_of(run: runs.Run) -> str:
    final = results.result(run).get("final")
    return final["split"] if final else needed_request(run).tuning.eval_split


def trained_heads(run: runs.Run) -> frozenset:
    """The heads that the run trained, without those that share their keys and values."""
    path = run.file("circuit.json")
    return Circuit.load(path).heads if path.is_file() else frozenset()
