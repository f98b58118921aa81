"""Another prompt or other label words for a built-in task, on Setup: saved as a task file of the
user's own, which uses the same rows.
"""

from collections.abc import Callable

import streamlit as st

from ctsft.data.edited_task import edited_task, write_edited
from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.utils import home
from explorer.session import binding, errors, recent
from explorer.setup import table_preview
from explorer.text.markdown import literal
from explorer.widgets import messages

MESSAGE = "edited_prompt_message"


def draw(task: Task, model: Model | None, use: Callable[[str], None]):
    """`use(path)` is a callback that opens the task file written to `path`; shows nothing for a
    task that is not built in.
    """
    built_in = binding.view().task
    if built_in not in recent.BUILT_IN or binding.view().task_kind == "own":
        return
    with st.expander("Edit the prompt and the label words"), errors.sentences(stop=False):
        columns = ", ".join(f"`{{{name}}}`" for name in task.columns)
        prompt = st.text_input(
            "Prompt",
            task.prompt,
            key=f"edited_prompt_{built_in}",
            help=f"The text that the model reads before it answers. Placeholders: {columns}.",
        )
        places = st.columns(len(task.labels))
        words = {
            label: place.text_input(
                f"“{literal(label)}”",
                label,
                key=f"edited_word_{built_in}_{label}",
                help="The word that the model answers for this label: a single token.",
            )
            for place, label in zip(places, task.labels, strict=True)
        }
        name = st.text_input(
            "Name of the task", f"{task.name} edited", key=f"edited_name_{built_in}"
        )
        edited = edited_task(task, prompt, words)
        if (edited.prompt, edited.labels) == (task.prompt, task.labels):
            return

        def save_and_use():
            with messages.errors_as(MESSAGE):
                folder = home.home_folder("tasks")
                use(str(write_edited(edited, built_in, name.strip() or "task", folder)))

        usable = table_preview.draw(edited, model)
        st.button(
            "Use this prompt",
            icon=":material/check:",
            disabled=not usable,
            on_click=save_and_use,
            help="Saves a task file in your folder, which uses the same rows, and opens it.",
        )
        messages.show(MESSAGE)
