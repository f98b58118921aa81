"""A tuning run under way or over: its curves (beside others), how to pause or end it, its log.
Nothing here is lost with the tab.
"""

import time

import streamlit as st

from ctsft import runs
from ctsft.plots.training_curves import RunHistory, training_curves
from ctsft.runs import results
from ctsft.tuning.checkpoints import newest_checkpoint
from ctsft.utils.errors import UserError
from explorer.session import binding, errors, inputs
from explorer.text import run_names
from explorer.text.glossary import TERMS
from explorer.widgets import chart, run_progress

RUN = "tune_run"  # the widget that says which run is shown


PAUSE = "Pause (stop and save)"


LINES = 40  # of the log


def choose(mine: list[runs.Run]) -> runs.Run:
    """Which of the tuning runs is shown, the newest to begin with, and which others are drawn with
    it.
    """
    called = {run.id: label(run) for run in mine}
    chosen = st.session_state.pop("tune_next", st.session_state.get(RUN))
    st.session_state[RUN] = chosen if chosen in called else next(iter(called))
    left, right = st.columns([3, 2], gap="medium")
    shown = left.selectbox(
        "Run",
        list(called),
        format_func=called.get,
        key=RUN,
        help="Tuning runs of this model and task, newest first.",
    )
    others = [run_id for run_id in called if run_id != shown]
    binding.put(overlaid=[run_id for run_id in binding.view().overlaid if run_id in others])
    right.multiselect(
        "Drawn with it",
        others,
        format_func=called.get,
        **binding.bind("overlaid"),
        disabled=not others,
        placeholder="other runs",
        help=(
            "More runs on the same chart: each has its own marker and line style; colours stay the"
            " languages'."
        ),
    )
    return runs.get(shown)


def label(run: runs.Run) -> str:
    tuning, config = run.request.params.get("tuning", {}), run.request.params.get("config", {})
    what = run.request.name or run_names.RECIPES.get(tuning.get("what"), ("Tuning",))[0]
    begun = time.strftime("%d %b %H:%M", time.localtime(run.request.created))
    settings = [
        f"n={tuning.get('n')}",
        f"lr {config.get('learning_rate', 0):g}",
        f"seed {config.get('seed')}",
    ]
    # a list is not redrawn while a run goes on
    state_now = "under way" if run.status().active else run.status().state
    return " · ".join([what, str(tuning.get("target")), *settings, state_now, begun, run.id[-4:]])


def draw(run: runs.Run):
    """Progress and buttons while it goes on, what ended it afterwards; curves and log."""
    shown = [run.id, *binding.view().overlaid]
    if run.status().active:
        run_progress.watch(run, stop_label=PAUSE)
        st.caption(
            "The run is a process of its own: it goes on when this tab or the server is closed, and"
            " is found here again. To pause it, stop and keep; *Resume* goes on at the same step."
        )
    else:
        run_progress.ended(run)
        resume(run)
    going = any(runs.get(one).status().active for one in shown)
    errors.fragment(draw_curves, run_every=1.0 if going else None)(shown, going)
    st.toggle(
        "Show the log",
        **binding.bind("log"),
        help="What the run printed: its stages, and at last what went wrong.",
    )
    if binding.view().log:
        errors.fragment(draw_log, run_every=2.0 if run.status().active else None)(run.id)


def resume(run: runs.Run):
    can = run.status().state != "done" and newest_checkpoint(run.file("checkpoints"))
    if can and st.button(
        "Resume",
        icon=":material/resume:",
        help=(
            "Goes on from the newest checkpoint, in the same run: the result is that of a run never"
            " interrupted."
        ),
    ):
        runs.resume(run)
        st.rerun()


def draw_curves(ids: list[str], going: bool):
    """Accuracies and losses so far; the figure is made anew only when rows arrived, because a new
    one loses the zoom.
    """
    found = list(filter(None, map(existing, ids)))
    if going and not any(run.status().active for run in found):
        st.rerun()
    counts = [len(run.events()) for run in found]
    if st.session_state.get("tune_curves", ())[:2] != (ids, counts):
        shown = named(found)
        fig = (
            training_curves(shown, chance=1 / len(inputs.task().labels))
            if any(run.rows for run in shown)
            else None
        )
        st.session_state.tune_curves = (ids, counts, fig)
    for run in found[1:]:
        if run.status().active:
            st.caption(
                f"{run_names.display_name(label(run))}:"
                f" {run_names.display_name(run_progress.sentence(run))}"
            )
    fig = st.session_state.tune_curves[2]
    if fig:
        chart.show(fig, "curves-" + "-".join(ids)[:200], name="tuning-curves")
        st.caption(
            "Each mark is an evaluation: the first one before tuning, whose level the dashed lines"
            " keep. Loss: the mean over the training rows since the mark before.",
            help=TERMS["curves"],
        )
    else:
        st.caption("The curves begin with the accuracy before tuning, which is measured first.")


def existing(run_id: str) -> runs.Run | None:
    try:
        return runs.get(run_id)
    except UserError:  # discarded, here or elsewhere
        return None


def named(found: list[runs.Run]) -> list[RunHistory]:
    """The runs with short names that tell them apart."""
    rows = [facts(run) for run in found]
    return [
        RunHistory(name, results.evaluations(run), row["target"])
        for run, row, name in zip(found, rows, run_names.run_names(rows), strict=True)
    ]


def facts(run: runs.Run) -> dict:
    """What `outcomes.names` reads, known from the start."""
    tuning, config = run.request.params.get("tuning", {}), run.request.params.get("config", {})
    return {
        "run": run.id,
        "name": run.request.name,
        "heads": results.result(run).get("heads"),
        "task": None,
        "model": None,
        **{key: tuning.get(key) for key in ("what", "target", "n")},
        **{key: config.get(key) for key in ("epochs", "learning_rate", "seed")},
    }


def draw_log(run_id: str):
    run = existing(run_id)
    if run:
        st.code(run.log_tail(LINES) or "(empty)", language=None)
