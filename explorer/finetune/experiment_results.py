"""Experiments under way or over: progress, stop and resume of the whole, and the tables of the
cells that are finished so far.
"""

import time

import streamlit as st

from ctsft import runs
from ctsft.experiment import tables
from ctsft.plots import experiment_frontier
from ctsft.utils.errors import UserError
from explorer.finetune import experiment_command
from explorer.session import binding, errors
from explorer.text import run_names
from explorer.text.glossary import TERMS
from explorer.widgets import chart, run_progress

RUN = "experiment_run"
STOP = "Stop and save"

TABLE_HELP = {
    "before": st.column_config.TextColumn(help="Accuracy before tuning, mean over seeds."),
    "accuracy on": st.column_config.TextColumn(
        help="Test rows of the target or of the source language."
    ),
}


def draw():
    mine = {run.id: run for run in experiment_command.listed(binding.view())}
    if not mine:
        st.caption(
            "No experiment with this model and task yet: press *Start experiment*, and its tables"
            " appear here."
        )
        return
    st.divider()
    chosen = st.session_state.pop("experiment_next", st.session_state.get(RUN))
    st.session_state[RUN] = chosen if chosen in mine else next(iter(mine))
    run = mine[
        st.selectbox(
            "Experiment",
            list(mine),
            format_func=lambda one: label(mine[one]),
            key=RUN,
            help="Experiments with this model and task, newest first.",
        )
    ]
    active = run.status().active
    if active:
        run_progress.watch(run, stop_label=STOP)
        st.caption(
            "The experiment goes on when this tab or the server is closed. Stopped, it keeps its"
            " finished cells; *Resume* runs the others."
        )
    else:
        run_progress.ended(run)
        again(run)
    errors.fragment(results, run_every=3.0 if active else None)(run.id)


def label(run: runs.Run) -> str:
    begun = time.strftime("%d %b %H:%M", time.localtime(run.request.created))
    state_now = "under way" if run.status().active else run.status().state
    return " · ".join([run.request.name or "experiment", state_now, begun, run.id[-4:]])


def again(run: runs.Run):
    failed = experiment_command.failures(run)
    if (run.status().state != "done" or failed) and st.button(
        "Resume",
        icon=":material/resume:",
        help="Runs the cells that are not finished; finished ones are kept.",
    ):
        runs.resume(run)
        st.rerun()


def results(run_id: str):
    """Tables, differences and the frontier; computed anew only when a cell was finished."""
    try:
        run = runs.get(run_id)
        rows, source, chosen = experiment_command.so_far(run)
    except UserError:  # discarded, here or elsewhere
        return
    failed = experiment_command.failures(run)
    if failed:
        with st.expander(f"{len(failed)} {'cell' if len(failed) == 1 else 'cells'} failed"):
            st.code("\n".join(failed), language=None, wrap_lines=True)
    if not rows:
        st.caption("The table begins with the first finished cell.")
        return
    key = (run_id, len(rows))
    if st.session_state.get("experiment_table", ((),))[0] != key:
        st.session_state.experiment_table = (
            key,
            experiment_command.frames(rows),
            experiment_command.differences(rows),
            experiment_frontier.frontier(rows),
        )
    _, frames, pairs, fig = st.session_state.experiment_table
    st.subheader(
        "The table so far" if run.status().active else "The table", help=TERMS["experiment"]
    )
    st.caption(
        "Accuracy after tuning, mean ± standard deviation over seeds; the source language is"
        f" {run_names.display_name(source)}. {len(rows)} cells. "
        + run_names.display_name(experiment_command.rates(chosen))
    )
    for title, frame in frames:
        st.markdown(f"**{run_names.display_name(title)}**")
        st.dataframe(
            frame,
            hide_index=True,
            column_config=TABLE_HELP,
            alt=f"Accuracy by target and way of tuning: {title}.",
        )
    if len(pairs):
        st.markdown(
            "**Paired differences** of accuracy after tuning, over targets, n and seeds, with 95 %"
            " bootstrap intervals",
            help=TERMS["interval"],
        )
        st.dataframe(
            pairs,
            hide_index=True,
            alt=(
                "Each pair of ways of tuning: how far they lie apart on target and source, and"
                " whether beyond chance."
            ),
        )
    downloads(run, rows, source)
    st.caption(
        "What the target gained against what the source kept: up and right is better. Small marks"
        " are seeds, large ones their mean.",
        help=TERMS["frontier"],
    )
    chart.show(fig, f"frontier-{run_id}", name="frontier")


def downloads(run: runs.Run, rows: list[dict], source: str):
    name = experiment_command.file_name(experiment_command.of(run))
    with st.container(horizontal=True):
        for title, ending, kind, text in (
            ("Markdown", "md", "text/markdown", lambda: tables.markdown(rows, source)),
            ("LaTeX", "tex", "text/x-tex", lambda: tables.latex(rows)),
            ("CSV", "csv", "text/csv", lambda: tables.as_csv(rows)),
        ):
            st.download_button(
                title,
                text,
                f"{name}.{ending}",
                kind,
                key=f"table-{ending}",
                icon=":material/download:",
                on_click="ignore",
                help=(
                    "One row a cell."
                    if ending == "csv"
                    else (
                        "The tables and paired differences."
                        if ending == "md"
                        else "One table a setting, for a paper that loads booktabs."
                    )
                ),
            )
