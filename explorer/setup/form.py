"""The form of Setup: the model, the task and the languages, and how accurate the model is before
any tuning.
"""

import streamlit as st

from ctsft.data.prompt_tokens import prompt_notes
from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.receipts.receipt import Receipt
from explorer.session import binding, errors, inputs, receipts, recent, recording, start_runs
from explorer.setup import (
    accuracy,
    data_preview,
    edited_prompt,
    model_choice,
    own_tables,
    prompt_tokens,
    task_choice,
)
from explorer.text.markdown import literal
from explorer.widgets import cost_estimate, receipt, recorded_notice


def draw(primary: bool):
    """primary: whether *Score heads* is the page's next step."""
    choose()
    task = open_task()
    model = open_model()
    if recording.current():
        without_weights(task, primary)
        return
    show_notes(model, task)
    ready = measure(model, task)
    # while tables are assigned, the next step is to use their task
    score_button(ready, primary and binding.view().task_kind != "own")
    if task:
        edited_prompt.draw(task, model, task_choice.open_recent)
        with errors.sentences(stop=False), receipt.covered("data", [data_receipt(model)]):
            data_preview.draw(task, model)
    if ready:
        with errors.sentences(stop=False), receipt.covered("prompt", [data_receipt(model)]):
            prompt_tokens.draw(model, task)


def without_weights(task: Task | None, primary: bool):
    """What was recorded, in place of what the weights would compute. primary: whether its scores
    are the page's next step here, rather than above.
    """
    recorded = recording.current()
    figures = ", ".join(f"{name} {value:.2f}" for name, value in recorded.accuracy.items())
    with receipt.covered("accuracy", [receipts.of_recording(recorded)]):
        st.markdown(f"Accuracy on validation rows before tuning: {literal(figures)}.")
    if primary and st.button(
        "Explore the recorded scores", type="primary", icon=":material/grid_on:"
    ):
        recording.use_settings(recorded)
        st.switch_page("relevance/page.py")
    recorded_notice.draw()
    if task:
        with errors.sentences(stop=False), receipt.covered("data", [data_receipt(None)]):
            data_preview.draw(task, None)


def data_receipt(model: Model | None) -> Receipt:
    """Of counts of rows and tokens."""
    view = binding.view()
    data_dir = f", data_dir={view.data_dir!r}" if view.data_dir else ""
    loaded = f"ctsft.load_task({view.task!r}{data_dir}).load({view.source!r}, {view.split!r})"
    languages = view.preview_languages or (view.source, view.target)
    return receipts.of_counts(model, f"len({loaded})", languages)


def choose():
    left, right = st.columns(2, gap="large")
    with left:
        model_choice.draw()
    with right:
        task_choice.draw()
    if binding.view().task_kind == "own":
        with st.container(border=True):
            model = None
            with errors.sentences(stop=False):
                if not recording.current():
                    model = inputs.load_model(binding.view().model)
            own_tables.draw(model, task_choice.open_written)


def open_task() -> Task | None:
    """The chosen task with its languages; None, with an error on the page, if it cannot be read."""
    task = None
    with errors.sentences(stop=False):
        task = inputs.load_task(binding.view().task, binding.view().data_dir)
        task_choice.choose_languages(task)
    return task


def open_model() -> Model | None:
    """The chosen model with its facts; None, with an error on the page, if it cannot be loaded."""
    model = None
    with errors.sentences(stop=False):
        model = inputs.load_model(binding.view().model)
    if model:
        expression = f"ctsft.load_model({model.name!r}).n_params"
        with receipt.covered("model", [receipts.of_counts(model, expression)]):
            model_choice.show_facts(model)
    return model


def show_notes(model: Model | None, task: Task | None):
    """What was not used of the model's files, and how it reads the task's prompts."""
    notes = list(model.notes) if model else []
    if model and task:
        notes += prompt_notes(model, task.prompt, task.max_length)
    for note in notes:
        st.warning(literal(note), icon=":material/info:")


def measure(model: Model | None, task: Task | None) -> bool:
    """Shows the accuracy; True where the heads can be scored."""
    if not model or not task:
        return False
    view, ready = binding.view(), False
    with errors.sentences(stop=False):
        task.label_ids(model)
        accuracy.draw(model, task)
        inputs.load_rows(view.task, view.data_dir, view.source, view.split)
        ready = True
    recent.remember("models", view.model)
    recent.remember("tasks", view.task)
    return ready


def score_button(ready: bool, primary: bool):
    if ready:
        cost_estimate.draw(binding.view().scoring, "Scoring")
    if st.button(
        "Score heads",
        type="primary" if primary else "secondary",
        disabled=not ready,
        help=(
            "Scores every attention head on examples that the model answers correctly, and opens"
            " Relevance."
        ),
    ):
        start_runs.ensure_score(binding.view())
        st.switch_page("relevance/page.py")
