"""The files of a tuning run: its delta, its circuit, and the tuned model as a folder."""

from pathlib import Path

import streamlit as st

from ctsft import runs
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.requests import ExportRequest, typed_runs
from ctsft.runs import results
from explorer.session import own_runs
from explorer.text.markdown import literal_sentence
from explorer.widgets import run_progress


def draw(run: runs.Run):
    st.write(
        "The delta holds only the trained parameters. An exported folder is an ordinary Hugging"
        " Face model that includes the change, with a model card; transformers loads it without"
        " this program."
    )
    with st.container(horizontal=True):
        downloads(run)
    st.code(str(run.file("delta.safetensors")), language=None)
    exported_folder(run)


def downloads(run: runs.Run):
    delta, circuit = run.file("delta.safetensors"), run.file("circuit.json")
    st.download_button(
        f"Delta ({delta.stat().st_size / 1e6:.2g} MB)",
        delta.read_bytes,
        f"{run.id}.safetensors",
        icon=":material/download:",
        on_click="ignore",
        help=(
            "ctsft.apply_delta(model, path) applies it to the model that was tuned, and refuses any"
            " other model."
        ),
    )
    if circuit.is_file():
        st.download_button(
            "Circuit (JSON)",
            circuit.read_bytes,
            f"{run.id}-circuit.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
        )


def exported_folder(run: runs.Run):
    """The folder, the export in progress, or the button that starts it."""
    folder = folder_of(run)
    job = next(
        (job for job, request in typed_runs("export") if request.to == str(folder)),
        None,
    )
    if job and job.status().active:
        run_progress.watch(job, savable=False)
    elif folder.is_dir():
        st.success(
            "The exported model is in this folder. Give its path to from_pretrained, or open it on"
            " Setup as a local folder.",
            icon=":material/folder:",
        )
        st.code(str(folder), language=None)
    else:
        if job:
            run_progress.ended(job)
        start_button(run, folder)


def folder_of(run: runs.Run) -> Path:
    """Named by the step too for a run that can be resumed."""
    history = results.result(run).get("history")
    step = history[-1]["step"] if history else 0
    name = run.id if run.status().state == "done" else f"{run.id}-step-{step}"
    return runs.home() / "exports" / name


def start_button(run: runs.Run, folder: Path):
    request = ExportRequest(tuned=run.id, to=str(folder))
    if st.button(
        "Export the tuned model",
        icon=":material/folder_zip:",
        help=literal_sentence(f"Writes {folder}."),
    ):
        own_runs.start(request)
        st.rerun()
    with st.expander("The same as a command"):
        st.code(shell_command(request), language="shell", wrap_lines=True)
