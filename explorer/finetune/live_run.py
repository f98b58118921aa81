"""A tuning run that is active or has ended: its curves (with those of other runs), how to pause,
resume or stop it, and its log. Closing the browser tab does not affect it.
"""

import time

import streamlit as st

from ctsft import runs
from ctsft.jobs.requests import needed_request
from ctsft.plots.training_curves import RunHistory, training_curves
from ctsft.runs import results
from ctsft.tuning.checkpoints import newest_checkpoint
from ctsft.utils.errors import UserError
from explorer.session import binding, errors, inputs, own_runs
from explorer.text import run_names
from explorer.text.glossary import TERMS
from explorer.widgets import chart, run_progress

SHOWN_RUN = "tune_run"  # the key of the widget that selects the run
PAUSE = "Stop and keep"
LOG_LINES = 40


def choose(listed: list[runs.Run]) -> runs.Run:
    """Selects the run to show, at first the newest one, and other runs to draw with it."""
    labels = {run.id: label(run) for run in listed}
    chosen = st.session_state.pop("tune_next", None)
    chosen = chosen or st.session_state.get(SHOWN_RUN, binding.view().tune_run)
    st.session_state[SHOWN_RUN] = chosen if chosen in labels else next(iter(labels))
    left, right = st.columns([3, 2], gap="medium")
    shown = left.selectbox(
        "Run",
        list(labels),
        format_func=labels.get,
        key=SHOWN_RUN,
        help="Tuning runs of this model and task, newest first.",
    )
    binding.view().tune_run = shown if shown != next(iter(labels)) else ""
    others = [run_id for run_id in labels if run_id != shown]
    binding.put(overlaid=[run_id for run_id in binding.view().overlaid if run_id in others])
    right.multiselect(
        "Drawn with it",
        others,
        format_func=labels.get,
        **binding.bind("overlaid"),
        disabled=not others,
        placeholder="other runs",
        help=(
            "More runs in the same chart. Each has its own marker and line style; colours show the"
            " languages."
        ),
    )
    return runs.get(shown)


def label(run: runs.Run) -> str:
    request = needed_request(run)
    tuning, config = request.tuning, request.config
    name = request.name or run_names.recipe_name(tuning.what)
    started = time.strftime("%d %b %H:%M", time.localtime(request.created))
    settings = [
        f"n={tuning.n}",
        f"lr {config.learning_rate:g}",
        f"seed {config.seed}",
    ]
    # one text for all active states: the list is not drawn again while a run continues
    state = "active" if run.status().active else run.status().state
    return " · ".join([name, tuning.target, *settings, state, started, run.id[-4:]])


def draw(run: runs.Run):
    """Progress and buttons of an active run, or how it ended; curves and log."""
    shown = [run.id, *binding.view().overlaid]
    if run.status().active:
        run_progress.watch(run, stop_label=PAUSE)
        st.caption(
            "The run has its own process: it continues when this tab or the server is closed, and"
            " is listed here again. *Stop and keep* ends it after the current step with what it has"
            " learnt; *Resume* continues at the same step."
        )
    else:
        run_progress.ended(run)
        resume(run)
    active = any(runs.get(run_id).status().active for run_id in shown)
    errors.fragment(draw_curves, run_every=1.0 if active else None)(shown, active)
    st.toggle(
        "Show the log",
        **binding.bind("log"),
        help="What the run printed: its stages and, at the end, any error.",
    )
    if binding.view().log:
        errors.fragment(draw_log, run_every=2.0 if run.status().active else None)(run.id)


def resume(run: runs.Run):
    resumable = run.status().state != "done" and newest_checkpoint(run.file("checkpoints"))
    if resumable and st.button(
        "Resume",
        icon=":material/resume:",
        disabled=not own_runs.is_own(run),
        help=own_runs.explained(
            run,
            "Continues from the newest checkpoint, in the same run. The result is the same as"
            " without the interruption.",
        ),
    ):
        own_runs.resume(run)
        st.rerun()


def draw_curves(ids: list[str], active: bool):
    """Accuracies and losses so far. The figure is made again only when there are new rows, because
    a new figure loses the zoom.
    """
    shown = list(filter(None, map(existing, ids)))
    if active and not any(run.status().active for run in shown):
        st.rerun()
    counts = [len(run.events()) for run in shown]
    if st.session_state.get("tune_curves", ())[:2] != (ids, counts):
        histories = run_histories(shown)
        fig = None
        if any(history.rows for history in histories):
            fig = training_curves(histories, chance=1 / len(inputs.task().labels))
        st.session_state.tune_curves = (ids, counts, fig)
    for run in shown[1:]:
        if run.status().active:
            st.caption(f"{run_names.display_name(label(run))}: {run_progress.sentence(run)}")
    fig = st.session_state.tune_curves[2]
    if not fig:
        st.caption("The curves start with the accuracy before tuning, which is measured first.")
        return
    chart.show(fig, "curves-" + "-".join(ids)[:200], name="tuning-curves")
    st.caption(
        f"Each mark is an evaluation, on {splits_of(shown)} rows. The first one is"
        " before tuning; dashed lines show its level."
        " Loss: the mean over the training rows since the previous mark.",
        help=TERMS["curves"],
    )


def splits_of(shown: list[runs.Run]) -> str:
    """The rows that the curves are of: "valid", or "test and valid"."""
    return " and ".join(sorted({needed_request(run).tuning.eval_split for run in shown}))


def existing(run_id: str) -> runs.Run | None:
    try:
        return runs.get(run_id)
    except UserError:  # discarded, here or elsewhere
        return None


def run_histories(shown: list[runs.Run]) -> list[RunHistory]:
    """The evaluations of the runs, under short and unique names."""
    rows = [name_fields(run) for run in shown]
    return [
        RunHistory(name, results.evaluations(run), row["target"])
        for run, row, name in zip(shown, rows, run_names.run_names(rows), strict=True)
    ]


def name_fields(run: runs.Run) -> dict:
    """What `run_names` reads, which is known from the start of a run."""
    request = needed_request(run)
    tuning, config = request.tuning, request.config
    return {
        "run": run.id,
        "name": run.request.name,
        "heads": results.result(run).get("heads"),
        "hold": config.hold,
        "task": None,
        "model": None,
        **{key: getattr(tuning, key) for key in ("what", "target", "n")},
        **{key: getattr(config, key) for key in ("epochs", "learning_rate", "seed")},
    }


def draw_log(run_id: str):
    run = existing(run_id)
    if run:
        st.code(run.log_tail(LOG_LINES) or "(empty)", language=None)
