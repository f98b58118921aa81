"""The sidebar's list of waiting and running jobs, on every page: progress, time left and a stop
button each; a message when one ends, and its progress in the title of the browser's tab.
"""

from pathlib import Path

import streamlit as st

from ctsft import runs
from ctsft.utils.errors import UserError
from ctsft.utils.units import time_left_text
from explorer.session import errors, own_runs
from explorer.text.markdown import literal

TITLE_SCRIPT = Path(__file__).parents[1] / "static" / "page_title.js"
TITLE = "Circuit explorer"
SECONDS = 2.0  # between updates
LISTED = 4  # jobs, the others are counted

# kind of a job -> its name
NAMES = {
    "score": "Scoring",
    "discover": "Discovery",
    "faithfulness": "Faithfulness",
    "surrogate": "Fit of predictions",
    "validate": "Validation",
    "advise": "Advice",
    "finetune": "Tuning",
    "undo": "Undo of heads",
    "rescore": "Scoring again",
    "experiment": "Experiment",
}
ENDS = {"done": "is done", "stopped": "was stopped", "failed": "failed", "lost": "was lost"}


def draw():
    """The list, updated while jobs run. Call in the sidebar, once in each run of the script."""
    jobs = active()
    announce([run.id for run in jobs])
    if jobs:
        errors.fragment(listing, run_every=SECONDS)([run.id for run in jobs])
    else:
        page_title(st.session_state.pop("job_ended", TITLE))


def active() -> list[runs.Run]:
    """Waiting and running jobs, newest first, without the trials of an experiment, which are
    part of it.
    """
    return [run for run in runs.list_runs() if run.status().active and not is_trial(run)]


def is_trial(run: runs.Run) -> bool:
    if run.request.kind != "finetune":
        return False
    from ctsft.jobs.requests import request_of  # torch: not imported while nothing runs

    request = request_of(run)
    return request is not None and request.trial_of is not None


def announce(ids: list[str]):
    """A message for each job that was active when this session last looked, and no longer is."""
    before = st.session_state.get("active_jobs", {})
    st.session_state.active_jobs = {run_id: name(run_id) for run_id in ids}
    for run_id, title in before.items():
        if run_id not in ids:
            text = f"{title} {ENDS.get(state(run_id), 'was discarded')}."
            st.toast(text, icon=":material/notifications:")
            st.session_state.job_ended = f"{text} {TITLE}"


def state(run_id: str) -> str:
    try:
        return runs.get(run_id).status().state
    except UserError:  # its folder is gone
        return ""


def name(run_id: str) -> str:
    """What a job does, such as "Tuning: my name"."""
    request = runs.get(run_id).request
    words = NAMES.get(request.kind, request.kind.capitalize())
    return f"{words}: {literal(request.name)}" if request.name else words


def listing(ids: list[str]):
    jobs = [runs.get(run_id) for run_id in ids if state(run_id)]
    if len([run for run in jobs if run.status().active]) < len(ids):
        st.rerun()  # one has ended: the page and the steps show what came out
    for run in jobs[:LISTED]:
        job(run)
    if len(jobs) > LISTED:
        st.caption(f"and {len(jobs) - LISTED} more")
    first = jobs[-1].status()
    page_title(f"{first.progress:.0%} {TITLE}")


def job(run: runs.Run):
    status = run.status()
    waits = status.state == "queued" and status.message
    left = "waits for its turn" if waits else time_left_text(status.eta)
    stage = "stopping" if status.state == "stopping" else left
    text = " · ".join(filter(None, (name(run.id), f"{status.progress:.0%}", stage)))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(min(max(status.progress, 0.0), 1.0), text=text)
        if st.button(
            "Stop",
            key=f"stop-job-{run.id}",
            icon=":material/stop_circle:",
            type="tertiary",
            disabled=status.state == "stopping" or not own_runs.is_own(run),
            help=own_runs.explained(run, "Ends it after the current step; what is done is saved."),
        ):
            own_runs.stop(run, "keep")
            st.rerun()


def page_title(text: str):
    component = st.components.v2.component(
        "page_title", html="<span></span>", js=TITLE_SCRIPT.read_text("utf-8")
    )
    component(data={"title": text}, key="page_title")
