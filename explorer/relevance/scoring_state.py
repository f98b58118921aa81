"""Between the settings and the scores on Relevance: a scoring run in progress, or why there are no
scores and the button that makes them.
"""

import streamlit as st

from ctsft import runs
from ctsft.data.task import Task
from ctsft.model.model import Model
from explorer.relevance import accuracy_check
from explorer.session import arrival, binding, errors, recording, score_runs, start_runs
from explorer.widgets import cost_estimate, recorded_notice, run_progress


def draw(model: Model, task: Task):
    active = score_runs.score_run(start_runs.ACTIVE)
    scores, _ = score_runs.scores()
    if first_visit() and arrival.chose("relevance") and not active and scores is None:
        active = start_runs.start_first_score(binding.view())
        st.session_state.automatic_run = active.id if active else ""
    if active:
        watch(active, has_scores=scores is not None)
    elif scores is None and recorded_notice.draw():
        st.button(
            "Show the recorded scores",
            type="primary",
            on_click=recording.use_settings,
            args=(recording.current(),),
        )
    elif scores is None:
        explain()
        accuracy_check.draw(model, task)
        cost_estimate.draw(binding.view().scoring, "Scoring")
        if st.button("Score heads", type="primary"):
            start_runs.ensure_score(binding.view())
            st.rerun()


def first_visit() -> bool:
    """Whether this session opens the page for the first time."""
    first = not st.session_state.get("relevance_visited")
    st.session_state.relevance_visited = True
    return first


def watch(run: runs.Run, has_scores: bool):
    if st.session_state.get("automatic_run") == run.id:
        st.caption("The bundled model is small, so scoring started automatically.")
    run_progress.watch(run, savable=False)
    if not has_scores:
        errors.fragment(await_preview, run_every=1.0)(run.id)


def await_preview(run_id: str):
    """Reruns the page as soon as there are preview scores."""
    if (runs.home() / "runs" / run_id / "preview.safetensors").is_file():
        st.rerun()


def explain():
    """Why there are no scores for the current settings."""
    last = score_runs.score_run()
    if last and last.status().state == "done":
        st.warning(
            "The scores for these settings were removed from their run folder. Score the heads"
            " again.",
            icon=":material/warning:",
        )
    elif last:
        run_progress.ended(last)
        st.page_link("setup/page.py", label="Back to Setup", icon=":material/arrow_back:")
    elif score_runs.has_scored():
        st.info(
            "Out of date: the existing scores are for another model, task or source language, or"
            " for other settings. Score the heads again.",
            icon=":material/update:",
        )
    else:
        st.info("The heads are not scored yet.", icon=":material/grid_on:")
