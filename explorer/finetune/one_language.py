"""What Fine-tune says for a task with one language: what is missing, and how to add it."""

import streamlit as st

from ctsft.data import task_file
from ctsft.data.held_out import hold_out
from ctsft.data.task import Task
from ctsft.utils import home
from explorer.session import binding, inputs, recent
from explorer.text.markdown import literal
from explorer.widgets import messages

MESSAGE = "held_out_message"


def draw(task: Task):
    st.info(
        f"Fine-tuning needs a second language, and this task has only {literal(task.source)}. A"
        " circuit is found in the source language and tuned on a target language. To add one,"
        " upload a table of it beside the present one (Setup, *Your tables*), or name it under"
        " *targets* in the task file and put its files beside the others.",
        icon=":material/info:",
    )
    st.page_link("setup/page.py", label="Add a language on Setup", icon=":material/arrow_back:")
    st.button(
        "Hold out half of the rows as the target",
        on_click=open_held_out,
        icon=":material/call_split:",
        help=(
            "Saves a new task in your folder and opens it: half of the texts of each label become"
            " the target. It is the same language, so the result shows what tuning does on rows"
            " that the circuit was not found with, and nothing about transfer."
        ),
    )
    messages.show(MESSAGE)


def open_held_out():
    """A callback: writes the task with its held-out part, and opens it in this session."""
    view = binding.view()
    with messages.errors_as(MESSAGE):
        task = hold_out(inputs.load_task(view.task, view.data_dir))
        path = str(task_file.write_task(task, home.home_folder("tasks")))
        binding.put(
            **recent.task_fields(path),
            task=path,
            data_dir="",
            source=task.source,
            target=task.targets[0],
        )
        binding.forget_circuit()
