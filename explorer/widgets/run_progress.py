"""Start the shell's own commands as detached runs, and watch one on a page.

Nothing runs in the server: a run outlives the browser tab and the server, and is found again by its
request.
"""

import streamlit as st

from ctsft import runs
from ctsft.utils.errors import UserError
from ctsft.utils.units import time_left_text
from explorer.session import errors
from explorer.session.errors import sentences
from explorer.session.score_runs import find_run, score_run
from explorer.session.start_runs import ACTIVE


def unscored(why: str):
    """On a page that needs scores: which there are not, and where to get them."""
    active, last = score_run(ACTIVE), score_run()
    if active:
        st.info(
            f"The heads are being scored, and {why}: this page begins with the first scores.",
            icon=":material/hourglass_top:",
        )
        watch(active, keepable=False)
    elif last and last.status().state in ("failed", "lost", "stopped"):
        ended(last)
        st.info(
            f"The scoring of these settings did not end well, and {why}. Score the heads again.",
            icon=":material/grid_on:",
        )
    elif last:
        st.warning(
            f"The scores of these settings were removed from their run folder, and {why}. Score the"
            " heads again.",
            icon=":material/warning:",
        )
    elif find_run("score", ("done",)):
        st.info(
            "Out of date: nothing is scored with this model, task, source language and these"
            f" settings yet, and {why}. Score the heads again, or take the earlier settings back.",
            icon=":material/update:",
        )
    else:
        st.info(
            f"There are no scores for these settings yet, and {why}. Score the heads first.",
            icon=":material/grid_on:",
        )
    st.page_link("relevance/page.py", label="Score the heads", icon=":material/arrow_back:")


def sentence(run: runs.Run) -> str:
    """A run's state in a line."""
    status = run.status()
    if status.state == "queued" and status.message:
        return f"queued · {status.message}"
    if status.state in ("queued", "running"):
        return " · ".join(
            filter(
                None,
                [status.stage or "starting", f"{status.progress:.0%}", time_left_text(status.eta)],
            )
        )
    return " · ".join(filter(None, [status.state, status.message]))


def watch(run: runs.Run, keepable: bool = True, every: float = 1.0, keep: str = "Stop and keep"):
    """Progress, time left and the stop buttons of a run; reruns the page when it ends. A run that
    died shows the end of its log.

    `keepable`: the job has something to keep when it is stopped early; `keep`: what that button is
    called.
    """
    if st.session_state.pop("discard", None) == run.id:
        # from here: a dialog of a fragment that reruns by itself loses its clicks
        confirm_discard(run.id)
    if run.status().active:
        errors.fragment(_progress, run_every=every)(run.id, keep if keepable else "")
    else:
        ended(run)


def _progress(run_id: str, keep: str):
    try:
        run = runs.get(run_id)
    except UserError:  # discarded, here or elsewhere
        st.rerun()
    status = run.status()
    if not status.active:
        st.rerun()
    st.progress(status.progress, text=sentence(run))
    left, right, _ = st.columns([1, 1, 3])
    if keep and left.button(
        keep,
        key=f"keep-{run_id}",
        disabled=status.state == "stopping",
        help="Finish this step and keep what is done.",
    ):
        runs.stop(run, "keep")
        st.rerun(scope="fragment")
    if right.button(
        "Discard", key=f"discard-{run_id}", help="End the run and delete what it made."
    ):
        st.session_state.discard = run_id
        st.rerun()


@st.dialog("Discard this run?")
def confirm_discard(run_id: str):
    experiment = runs.get(run_id).request.kind == "experiment"
    st.write(
        "The experiment ends, and its scores, its choice of learning rates and its tables are"
        " deleted. Cells that are finished stay as tuning runs on the Compare page."
        if experiment
        else "The run ends, and everything it made is deleted."
    )
    if st.button("Discard it", type="primary"):
        with sentences():
            runs.stop(runs.get(run_id), "discard")
        st.rerun()


def ended(run: runs.Run):
    """What a page says of a run that is over; nothing when it is simply done."""
    status = run.status()
    if status.state in ("failed", "lost"):
        st.error(
            f"This run {'failed' if status.state == 'failed' else 'was lost'}: {status.message}",
            icon=":material/error:",
        )
        with st.expander("End of its log"):
            st.code(run.log_tail(30) or "(empty)", language=None)
    elif status.state == "stopped":
        st.info(status.message or "The run was stopped.", icon=":material/stop_circle:")
