"""Opening runs that were bundled elsewhere (`ctsft bundle`), on Setup, and removing them again."""

import time

import streamlit as st

from ctsft import runs
from ctsft.runs.explorations import Exploration, explorations, remove_exploration
from explorer.session import errors, visitors
from explorer.text.markdown import literal

HELP = (
    "Runs that somebody bundled with `ctsft bundle`. They are checked, shown on Compare, and read"
    " only; nothing in the file is executed."
)


def draw():
    opened = explorations(recorded=False)
    with st.expander("Open an exploration (.zip)", icon=":material/folder_zip:"):
        uploaded = st.file_uploader("Exploration", type="zip", key="exploration_file", help=HELP)
        if st.button("Open", disabled=uploaded is None, key="open_exploration"):
            with errors.sentences(stop=False):
                open_file(uploaded)
        for exploration in opened:
            line(exploration)


def open_file(uploaded):
    from ctsft.jobs.bundle import open_bundle  # torch and transformers, which the page may lack

    exploration = open_bundle(uploaded, uploaded.name, time.time())
    visitors.claim(exploration.folder / visitors.OWNER)
    st.rerun()


def line(exploration: Exploration):
    """One exploration that was opened, with a button that removes it."""
    count = sum(run.path.parent == exploration.runs for run in runs.list_read_only(recorded=False))
    mine = visitors.is_mine(exploration.folder / visitors.OWNER)
    with st.container(horizontal=True, vertical_alignment="center"):
        listed = "1 run" if count == 1 else f"{count} runs"
        st.markdown(f"**{literal(exploration.origin)}**: {listed} on Compare")
        st.button(
            "Remove",
            key=f"remove-{exploration.name}",
            disabled=not mine,
            help=(
                "Removes this exploration from the machine; your own runs stay."
                if mine
                else "Another visitor of this server opened it; only they can remove it."
            ),
            on_click=remove,
            args=(exploration.name,),
        )


def remove(name: str):
    with errors.sentences(stop=False):
        if visitors.is_mine(runs.home() / "explorations" / name / visitors.OWNER):
            remove_exploration(name)
