"""The size of an experiment and the time it needs, the start, and the same as a command."""

import streamlit as st

from ctsft.data.task import Task
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.experiment_design import Design
from ctsft.utils.errors import UserError
from ctsft.utils.units import duration_text
from explorer.finetune import experiment_command
from explorer.session import binding, inputs
from explorer.text.markdown import literal
from explorer.widgets import recorded_notice
from explorer.widgets.run_receipts import covered_by


def draw(task: Task):
    view = binding.view()
    try:
        design = experiment_command.check_rows(
            experiment_command.form_design(view), lambda target: n_rows(task, target)
        )
    except UserError as error:
        st.info(literal(str(error)), icon=":material/info:")
        st.button("Start experiment", type="primary", disabled=True, icon=":material/play_arrow:")
        return
    st.markdown(size_text(design))
    measured = experiment_command.measured_runs(view)
    with covered_by("duration", *measured, interval="none: an estimate"):
        text, about = duration(design)
        st.caption(text, help=about)
    recorded = recorded_notice.draw()
    with st.container(horizontal=True):
        if st.button(
            "Start experiment", type="primary", icon=":material/play_arrow:", disabled=recorded
        ):
            st.session_state.experiment_next = experiment_command.start(view, design).id
            st.rerun()
        st.download_button(
            "Save design",
            lambda: design.model_dump_json(indent=1),
            f"{experiment_command.file_name(design)}.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
            help="The file that `python -m ctsft experiment` takes.",
        )
    file = f"{experiment_command.file_name(design)}.json"
    request = experiment_command.request(view, design, file)
    with st.expander("The same as a command"):
        st.code(shell_command(request), language="shell", wrap_lines=True)


def n_rows(task: Task, target: str) -> int:
    """The number of rows of a target from which the trials draw."""
    rows = inputs.rows(target, "train")
    return len(rows if binding.view().design_pool == "all" else task.pools(rows)[1])


def size_text(design: Design) -> str:
    n_grid = len(design.grid())
    factors = {
        "way": design.methods,
        "target": design.targets,
        "size": design.n,
        "seed": design.seeds,
    }
    product = " × ".join(counted(len(values), noun) for noun, values in factors.items())
    text = f"**{design.n_trials - n_grid} trials**: {product}."
    if n_grid:
        text += f" Before them, **{n_grid} more** choose the learning rates on validation rows."
    return text


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(design: Design) -> tuple[str, str]:
    """The time it needs, and what that was estimated from."""
    view = binding.view()
    pace = experiment_command.measured(view)
    seconds = experiment_command.seconds(design, pace, view.design_jobs)
    if seconds is None:
        return (
            "The time it needs is not known yet.",
            "No run of this model and task was measured on this machine. Start one under *One run*"
            " to measure it.",
        )
    runs_text = counted(len(pace), "finished run")
    return (
        f"**About {duration_text(seconds)}**, estimated from {runs_text}.",
        "Runs of this model and task on this machine. Scoring the heads is not included.",
    )
