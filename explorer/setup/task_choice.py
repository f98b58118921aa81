"""The choice of the task, its data folder, its languages and its split on Setup."""

from pathlib import Path

import streamlit as st

from ctsft.data.sources import SPLITS
from ctsft.data.task import Task
from ctsft.utils.errors import UserError
from explorer.session import binding, inputs, recent, uploads
from explorer.setup import recent_choice
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal

KINDS = {
    "demo": "Demo sentiment",
    "nusax": "NusaX sentiment",
    "xnli": "XNLI inference",
    "file": "Task file",
    "own": "Your tables",
}


def draw():
    view = binding.view()
    st.radio(
        "Task",
        list(KINDS),
        format_func=KINDS.get,
        horizontal=True,
        **binding.bind("task_kind", open_entered),
        help=(
            "Demo: 300 short sentences in four parallel languages, bundled. NusaX and XNLI are"
            " downloaded, or read from a data folder."
        ),
    )
    if view.task_kind == "file":
        task_file()
    continue_with_tables()
    recent_choice.draw("tasks", "Recent tasks", open_recent)
    if view.task_kind == "own":
        st.info(
            f"Upload your tables below. {literal(view.task)} is still in use until you press *Use"
            " this task*.",
            icon=":material/edit:",
        )
        return
    if view.task != entered():
        st.info(f"Enter a task file. {literal(view.task)} is still in use.", icon=":material/edit:")
    st.text_input(
        "Data folder (optional)",
        placeholder="bundled or downloaded",
        **binding.bind("data_dir", open_data_folder),
        help=(
            "A folder with the files of the task, one for each language and split, such as"
            " javanese/train.csv."
        ),
    )


def continue_with_tables():
    """The way back to tables that were dropped before a reload."""
    stored = uploads.listed()
    if stored and binding.view().task_kind != "own":
        count = "1 file" if len(stored) == 1 else f"{len(stored)} files"
        st.button(
            f"Continue with your tables ({count})",
            type="tertiary",
            icon=":material/table:",
            on_click=binding.put,
            kwargs={"task_kind": "own"},
        )


def task_file():
    st.text_input(
        "Task file",
        placeholder="/path/to/task.json",
        **binding.bind("task_file", open_entered),
        help=(
            "JSON with name, prompt, labels, source, targets, and files or hub. The"
            " documentation describes the keys (Models and data)."
        ),
    )


def entered() -> str:
    """The task that the input fields name; "" while the field is empty."""
    view = binding.view()
    if view.task_kind == "own":
        return ""
    if view.task_kind != "file":
        return view.task_kind
    path = view.task_file.strip()
    return str(Path(path).expanduser()) if path else ""


def open_entered():
    name = entered()
    if name and name != binding.view().task:
        binding.put(task=name)
        open_data_folder()
        choose_default_languages()


def open_recent(name: str):
    binding.put(**recent.task_fields(name))
    open_entered()


def open_written(path: str):
    """Opens a task file that was just written from the user's tables."""
    binding.put(data_dir="", split="train")
    open_recent(path)


def open_data_folder():
    binding.put(data_dir=binding.view().data_dir.strip())
    binding.forget_circuit()


def choose_default_languages():
    """The source and the first target of the task. A task that cannot be read changes nothing: the
    page shows its error.
    """
    try:
        task = inputs.load_task(binding.view().task, binding.view().data_dir)
    except UserError:
        return
    binding.put(source=task.source, target=(*task.targets, task.source)[0])


def choose_languages(task: Task):
    view = binding.view()
    if view.source not in task.languages or view.target not in task.languages:
        # the task file has changed since they were chosen
        choose_default_languages()
    targets = [language for language in task.languages if language != view.source]
    targets = targets or [view.source]
    if view.target not in targets:
        binding.put(target=targets[0])
    source, target, split = st.columns(3)
    source.selectbox(
        ":blue[●] Source language",
        task.languages,
        **binding.bind("source", binding.forget_circuit),
        help=TERMS["source"],
    )
    target.selectbox(
        ":orange[●] Target language", targets, **binding.bind("target"), help=TERMS["target"]
    )
    split.selectbox(
        "Split for scoring",
        SPLITS,
        **binding.bind("split"),
        help="The discovery set is drawn from this split. " + TERMS["discovery set"],
    )
