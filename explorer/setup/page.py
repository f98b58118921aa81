"""Setup: what tuning did in the recorded runs, and below it the choice of a model, a task and two
languages.

The recorded runs are drawn without torch, so that the first screen is there at once; the form is
imported when it is unfolded.
"""

import streamlit as st

from explorer.session import binding, errors, recording, warm
from explorer.setup import open_exploration, recorded_story
from explorer.text.markdown import literal
from explorer.widgets import preload_charts


def page():
    st.header("Setup")
    story = recorded_story.read()
    if story is None:
        form(primary=True)
    else:
        recorded_story.draw(story)
        chosen = is_own_choice()
        recorded_story.next_steps(story, primary=not chosen)
        model_and_task(primary=chosen and not recording.current())
    open_exploration.draw()
    st.page_link(
        "relevance/page.py",
        label="Next: score the heads",
        icon=":material/arrow_forward:",
    )
    if warm.is_ready():  # the first screen is drawn
        preload_charts.preload()


def is_own_choice() -> bool:
    """Whether the session has left the bundled model and task."""
    view = binding.view()
    return (view.model_kind, view.task_kind, view.data_dir) != ("bundled", "demo", "")


def model_and_task(primary: bool):
    """One line that unfolds: the form. primary: whether the page's next step is there."""
    view = binding.view()
    label = (
        f"Model and task: {literal(view.model)}, {literal(view.source)} → {literal(view.target)}"
    )
    unfolded = st.session_state.get("setup_unfolded", primary)
    place = st.expander(label, expanded=unfolded, key="setup_form", on_change=note_unfolded)
    if not place.open:
        return
    with place:
        form(primary)


def note_unfolded():
    st.session_state.setup_unfolded = st.session_state.setup_form


def form(primary: bool):
    if not warm.is_ready():
        st.caption("Loading the libraries ...")
        return
    from explorer.setup import form  # torch and transformers

    form.draw(primary)


with errors.sentences():
    page()
