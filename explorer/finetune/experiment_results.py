"""Experiments that are active or have ended: progress, stop and resume, and the tables of the
trials that are finished so far.
"""

import time

import streamlit as st

from ctsft import runs
from ctsft.experiment import tables
from ctsft.plots import experiment_frontier
from ctsft.utils.errors import UserError
from explorer.finetune import experiment_command, experiment_tables
from explorer.finetune.experiment_start import counted
from explorer.session import binding, errors, own_runs
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.text.run_names import display_name
from explorer.widgets import chart, run_progress
from explorer.widgets.run_receipts import covered_by

SHOWN_RUN = "experiment_run"  # the key of the widget that selects the experiment

TABLE_HELP = {
    "before": st.column_config.TextColumn(help="Accuracy before tuning, mean over seeds."),
    "accuracy on": st.column_config.TextColumn(
        help="Test rows of the target or of the source language."
    ),
}


def draw():
    listed = {run.id: run for run in experiment_command.listed(binding.view())}
    if not listed:
        st.caption(
            "No experiment yet: its tables appear here.",
            help="Experiments with this model and task are listed, newest first.",
        )
        return
    st.divider()
    chosen = st.session_state.pop("experiment_next", None)
    chosen = chosen or st.session_state.get(SHOWN_RUN, binding.view().experiment_run)
    st.session_state[SHOWN_RUN] = chosen if chosen in listed else next(iter(listed))
    shown = st.selectbox(
        "Experiment",
        list(listed),
        format_func=lambda run_id: label(listed[run_id]),
        key=SHOWN_RUN,
        help="Experiments with this model and task, newest first.",
    )
    binding.view().experiment_run = shown if shown != next(iter(listed)) else ""
    run = listed[shown]
    active = run.status().active
    if active:
        run_progress.watch(run)
        st.caption(
            "The experiment continues when this tab or the server is closed. If it is stopped, its"
            " finished trials remain; *Resume* runs the others."
        )
    else:
        run_progress.ended(run)
        resume(run)
    with covered_by("experiment", run):
        errors.fragment(results, run_every=3.0 if active else None)(run.id)


def label(run: runs.Run) -> str:
    started = time.strftime("%d %b %H:%M", time.localtime(run.request.created))
    state = "active" if run.status().active else run.status().state
    return " · ".join([run.request.name or "experiment", state, started, run.id[-4:]])


def resume(run: runs.Run):
    failed = experiment_tables.failures(run)
    if (run.status().state != "done" or failed) and st.button(
        "Resume",
        icon=":material/resume:",
        disabled=not own_runs.is_own(run),
        help=own_runs.explained(
            run, "Runs the trials that are not finished; finished ones remain as they are."
        ),
    ):
        own_runs.resume(run)
        st.rerun()


def results(run_id: str):
    """The tables, differences and frontier of the finished trials."""
    try:
        run = runs.get(run_id)
        rows, source, rates = experiment_tables.so_far(run)
    except UserError:  # discarded, here or elsewhere
        return
    failed = experiment_tables.failures(run)
    if failed:
        with st.expander(f"{counted(len(failed), 'trial')} failed"):
            st.code("\n".join(failed), language=None, wrap_lines=True)
    if not rows:
        st.caption("The table starts with the first finished trial.")
        return
    # over rows and seeds only at the end: each new trial would wait for it
    with st.spinner("Computing tables and intervals …", show_time=False):
        frames, differences, fig = computed(run_id, rows, not run.status().active)
    title = "The table so far" if run.status().active else "The table"
    st.subheader(title, help=TERMS["experiment"])
    st.caption(
        "Accuracy after tuning, mean ± standard deviation over seeds; the source language is"
        f" {display_name(source)}. {len(rows)} trials."
        f" {display_name(experiment_tables.rates(rates))}"
    )
    accuracy_tables(frames)
    if len(differences):
        difference_table(differences)
    downloads(run, rows, source)
    st.caption(
        "The change on the target (up) and on the source (right): up and right is better. Small"
        " marks are seeds, large marks their mean.",
        help=TERMS["frontier"],
    )
    chart.show(fig, f"frontier-{run_id}", name="frontier")
    st.markdown(literal(experiment_tables.not_dominated(rows)))
    if any(row.get("shares") for row in rows):
        st.caption(
            "Thin lines are shares of each way's change, means over the trials, measured on"
            " validation rows."
        )


def computed(run_id: str, rows: list[dict], ended: bool) -> tuple:
    """Tables, differences and frontier; computed again only when a trial was finished, or all."""
    key = (run_id, len(rows), ended)
    if st.session_state.get("experiment_table", ((),))[0] != key:
        st.session_state.experiment_table = (
            key,
            experiment_tables.frames(rows),
            experiment_tables.differences(rows, ended),
            experiment_frontier.experiment_frontier(rows),
        )
    return st.session_state.experiment_table[1:]


def accuracy_tables(frames: list[tuple]):
    for title, frame in frames:
        st.markdown(f"**{display_name(title)}**")
        st.dataframe(
            frame,
            hide_index=True,
            column_config=TABLE_HELP,
            alt=f"Accuracy by target and way of tuning: {title}.",
        )


def difference_table(differences):
    more = f" {tables.ROW_DIFFERENCES}." if tables.ROW_HEAD[0] in differences else ""
    st.markdown(
        f"**Paired differences** of accuracy after tuning. {tables.DIFFERENCES}.{more}",
        help=TERMS["interval"],
    )
    st.dataframe(
        differences,
        hide_index=True,
        alt=(
            "Each pair of ways of tuning: their difference on target and source, and whether it is"
            " beyond chance."
        ),
    )


def downloads(run: runs.Run, rows: list[dict], source: str):
    name = experiment_command.file_name(experiment_command.run_design(run))
    files = (
        (
            "Markdown",
            "md",
            "text/markdown",
            lambda: tables.markdown(rows, source),
            "The tables and paired differences.",
        ),
        (
            "LaTeX",
            "tex",
            "text/x-tex",
            lambda: tables.latex(rows),
            "One table for each setting, for a paper that loads booktabs.",
        ),
        ("CSV", "csv", "text/csv", lambda: tables.as_csv(rows), "One row for each trial."),
    )
    with st.container(horizontal=True):
        for title, ending, mime, text, explanation in files:
            st.download_button(
                title,
                text,
                f"{name}.{ending}",
                mime,
                key=f"table-{ending}",
                icon=":material/download:",
                on_click="ignore",
                help=explanation,
            )
