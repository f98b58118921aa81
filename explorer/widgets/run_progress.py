"""The progress of a detached run on a page, its stop buttons, and how it ended.

Nothing runs in the server: a run outlives the browser tab and the server, and is found again by its
request.
"""

import streamlit as st

from ctsft import runs
from ctsft.utils.errors import UserError
from ctsft.utils.units import time_left_text
from explorer.session import errors, own_runs, recording
from explorer.session.score_runs import has_scored, score_run
from explorer.session.start_runs import ACTIVE
from explorer.text.markdown import literal, literal_sentence

LOG_LINES = 30


def unscored(reason: str):
    """On a page that needs scores: why there are none, and where to compute them. `reason`: what
    the page needs them for.
    """
    if recorded := recording.current():
        st.info(
            f"There are no recorded scores for these settings, and {reason}."
            f" {literal(recorded.why_not)}",
            icon=":material/inventory_2:",
        )
        st.page_link("relevance/page.py", label="To the scores", icon=":material/arrow_back:")
        return
    active = score_run(ACTIVE)
    if active:
        st.info(
            f"The heads are being scored, and {reason}. This page starts when the first scores are"
            " there.",
            icon=":material/hourglass_top:",
        )
        watch(active, savable=False)
        return
    last = score_run()
    if last and last.status().state in ("failed", "lost", "stopped"):
        ended(last)
        st.info(
            f"Scoring with these settings was not completed, and {reason}. Score the heads again.",
            icon=":material/grid_on:",
        )
    elif last:
        st.warning(
            f"The scores for these settings were removed from their run folder, and {reason}. Score"
            " the heads again.",
            icon=":material/warning:",
        )
    elif has_scored():
        st.info(
            "Out of date: there are no scores yet for this model, task, source language and these"
            f" settings, and {reason}. Score the heads again, or go back to the earlier settings.",
            icon=":material/update:",
        )
    else:
        st.info(
            f"There are no scores for these settings yet, and {reason}. Score the heads first.",
            icon=":material/grid_on:",
        )
    st.page_link("relevance/page.py", label="Score the heads", icon=":material/arrow_back:")


def sentence(run: runs.Run) -> str:
    """The state of a run in one line of Markdown."""
    status = run.status()
    if status.state == "queued" and status.message:
        parts = ["queued", status.message]
    elif status.state in ("queued", "running"):
        stage = status.stage or "starting"
        parts = [stage, f"{status.progress:.0%}", time_left_text(status.eta)]
    else:
        parts = [status.state, status.message]
    return literal_sentence(" · ".join(filter(None, parts)))


def watch(
    run: runs.Run, savable: bool = True, every: float = 1.0, stop_label: str = "Stop and save"
):
    """Progress, time left and the stop buttons of a run; reruns the page when the run ends.

    `savable`: the job has a partial result to save when it is stopped early; `every`: seconds
    between updates.
    """
    if st.session_state.pop("discard", None) == run.id:
        # opened here and not in the fragment: a dialog of a fragment that reruns loses its clicks
        confirm_discard(run.id)
    if run.status().active:
        errors.fragment(_progress, run_every=every)(run.id, stop_label if savable else "")
    else:
        ended(run)


def _progress(run_id: str, stop_label: str):
    try:
        run = runs.get(run_id)
    except UserError:  # discarded, here or elsewhere
        st.rerun()
    status = run.status()
    if not status.active:
        st.rerun()
    st.progress(status.progress, text=sentence(run))
    place = st.container(horizontal=True)
    if stop_label and place.button(
        stop_label,
        key=f"stop-{run_id}",
        disabled=status.state == "stopping" or not own_runs.is_own(run),
        help=own_runs.explained(run, "Finish the current step and save what is done."),
    ):
        own_runs.stop(run, "keep")
        st.rerun()
    if place.button(
        "Discard",
        key=f"discard-{run_id}",
        disabled=not own_runs.is_own(run),
        help=own_runs.explained(run, "Stop the run and delete its results."),
    ):
        st.session_state.discard = run_id
        st.rerun()


@st.dialog("Discard this run?")
def confirm_discard(run_id: str):
    if runs.get(run_id).request.kind == "experiment":
        st.write(
            "The experiment stops. Its scores, its choice of learning rates and its tables are"
            " deleted. Finished trials remain as tuning runs on the Compare page."
        )
    else:
        st.write("The run stops, and all its results are deleted.")
    if st.button("Discard it", type="primary"):
        with errors.sentences():
            own_runs.stop(runs.get(run_id), "discard")
        st.rerun()


def ended(run: runs.Run):
    """How a run ended, with the end of its log if it failed; nothing for a run that is done."""
    status = run.status()
    if status.state in ("failed", "lost"):
        outcome = "failed" if status.state == "failed" else "was lost"
        errors.show_error(f"This run {outcome}: {status.message}")
        with st.expander("End of its log"):
            st.code(run.log_tail(LOG_LINES) or "(empty)", language=None)
    elif status.state == "stopped":
        st.info(
            literal_sentence(status.message) or "The run was stopped.",
            icon=":material/stop_circle:",
        )
