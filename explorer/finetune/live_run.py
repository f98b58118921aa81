"""A tuning run that is active or has ended: its curves (with those of other runs), how to pause,
resume or stop it, and its log. Closing the browser tab does not affect it.
"""

import time

import streamlit as st

from ctsft import runs
from ctsft.jobs.requests import needed_request
from ctsft.plots.training_curves import RunHistory, training_curves
from ctsft.runs import results
from ctsft.runs.explorations import origin_of
from ctsft.tuning.checkpoints import newest_checkpoint
from ctsft.utils.errors import UserError
from explorer.finetune import command
from explorer.session import binding, errors, inputs, own_runs
from explorer.text import run_names
from explorer.text.curve_readout import readout
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart, run_progress

SHOWN_RUN = "tune_run"  # the key of the widget that selects the run
PAUSE = "Stop and keep"
LOG_LINES = 40


def choose(listed: list[runs.Run]) -> runs.Run:
    """Selects the run to show, and other runs to draw with it."""
    labels, first = {run.id: label(run) for run in listed}, first_shown(listed)
    chosen = st.session_state.pop("tune_next", None)
    chosen = chosen or st.session_state.get(SHOWN_RUN, binding.view().tune_run)
    st.session_state[SHOWN_RUN] = chosen if chosen in labels else first
    shown = st.selectbox(
        "Run",
        list(labels),
        format_func=labels.get,
        key=SHOWN_RUN,
        help="Tuning runs of this model and task, newest first.",
    )
    binding.view().tune_run = shown if shown != first else ""
    others = [run_id for run_id in labels if run_id != shown]
    binding.put(overlaid=[run_id for run_id in binding.view().overlaid if run_id in others])
    overlay_last(runs.get(shown), [run for run in listed if run.id in others])
    return runs.get(shown)


def first_shown(listed: list[runs.Run]) -> str:
    """The newest run; among recorded ones, the newest of the way of tuning that the form names."""
    if not origin_of(listed[0]):
        return listed[0].id
    what = binding.view().what
    same = (run.id for run in listed if needed_request(run).tuning.what == what)
    return next(same, listed[0].id)


def overlay_last(shown: runs.Run, others: list[runs.Run]):
    """When another run is shown, the newest run with the same settings and another recipe is drawn
    with it.
    """
    if st.session_state.get("overlaid_for") == shown.id:
        return
    st.session_state.overlaid_for = shown.id
    if not binding.view().overlaid:
        binding.put(overlaid=[run.id for run in comparable(shown, others)][:1])


def comparable(shown: runs.Run, others: list[runs.Run]) -> list[runs.Run]:
    """The newest run of each way of tuning on the same rows with the same settings."""
    newest: dict[str, runs.Run] = {}
    for run in others:
        if same_settings(shown, run) and method_of(run) != method_of(shown):
            newest.setdefault(method_of(run), run)
    return list(newest.values())


def same_settings(one: runs.Run, other: runs.Run) -> bool:
    def settings(run: runs.Run) -> tuple:
        request = needed_request(run)
        tuning, config = request.tuning, request.config
        rows = tuning.target, tuning.n, tuning.pool, tuning.eval_split
        return *rows, config.seed, config.epochs, config.learning_rate, config.batch_size

    return settings(one) == settings(other)


def method_of(run: runs.Run) -> str:
    """What a run trained and whether it held the source: "Everything, held"."""
    request = needed_request(run)
    return run_names.trained_text({"what": request.tuning.what, "hold": request.config.hold})


def chips(shown: runs.Run):
    """Which comparable runs are drawn too, one chip each; other runs in a menu."""
    labels = {run.id: label(run) for run in command.listed(binding.view()) if run.id != shown.id}
    if not labels:
        return
    near = {run.id: method_of(run) for run in comparable(shown, list(map(runs.get, labels)))}
    with st.container(horizontal=True, vertical_alignment="center"):
        if near:
            chosen_chips(near)
        with st.popover("More runs", type="tertiary", icon=":material/add:"):
            st.multiselect(
                "Drawn with it",
                list(labels),
                format_func=labels.get,
                **binding.bind("overlaid"),
                placeholder="other runs",
                help=(
                    "More runs in the same chart. Each has its own marker and line style; colours"
                    " show the languages."
                ),
            )


def chosen_chips(near: dict[str, str]):
    """`near`: ids of runs with the same settings, and what each trained."""
    view = binding.view()
    st.session_state.tune_chips = [run_id for run_id in view.overlaid if run_id in near]

    def changed():
        others = [run_id for run_id in binding.view().overlaid if run_id not in near]
        binding.put(overlaid=[*others, *st.session_state.get("tune_chips", [])])

    st.pills(
        "Drawn with it",
        list(near),
        selection_mode="multi",
        format_func=lambda run_id: literal(near[run_id]),
        key="tune_chips",
        on_change=changed,
        label_visibility="collapsed",
        wrap=True,
    )


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
        st.caption("It continues when this tab or the server is closed.")
    else:
        run_progress.ended(run)
        resume(run)
    active = any(runs.get(run_id).status().active for run_id in shown)
    errors.fragment(draw_curves, run_every=1.0 if active else None)(shown, active)
    chips(run)
    with st.container(horizontal=True):
        st.toggle(
            "Training loss",
            **binding.bind("loss"),
            help="The mean over the training rows since the previous mark, below the accuracies.",
        )
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
    with_loss = binding.view().loss
    counts = [with_loss, *(len(run.events()) for run in shown)]
    if st.session_state.get("tune_curves", ())[:2] != (ids, counts):
        histories = run_histories(shown)
        fig = None
        if any(history.rows for history in histories):
            chance = 1 / len(inputs.task().labels)
            fig = training_curves(histories, chance=chance, loss=with_loss)
        st.session_state.tune_curves = (ids, counts, fig)
    for run in shown[1:]:
        if run.status().active:
            st.caption(f"{run_names.display_name(label(run))}: {run_progress.sentence(run)}")
    fig = st.session_state.tune_curves[2]
    if not fig:
        st.caption("The curves start with the accuracy before tuning, which is measured first.")
        return
    st.markdown(readout(results.evaluations(shown[0]), needed_request(shown[0]).tuning.target))
    chart.show(fig, "curves-" + "-".join(ids)[:200], name="tuning-curves")
    st.caption(
        "Dashed: before tuning.",
        help=f"Each mark is an evaluation, on {splits_of(shown)} rows. {TERMS['curves']}",
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
        RunHistory(name, results.evaluations(run), row["target"], trained_method(row))
        for run, row, name in zip(shown, rows, run_names.run_names(rows), strict=True)
    ]


def trained_method(row: dict) -> str:
    return f"{row['what']}_held" if row["hold"] else row["what"]


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
