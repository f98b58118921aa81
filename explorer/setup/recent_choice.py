"""A list of the models or tasks that were opened before, in this session or another."""

from collections.abc import Callable

import streamlit as st

from explorer.session import recent


def draw(kind: str, title: str, open_name: Callable[[str], None]):
    """`kind`: "models" or "tasks"; `open_name(name)` is called in a callback."""
    names = recent.listed(kind)
    key = f"recent_{kind}"
    if len(names) < 2:
        return

    def chosen():
        if st.session_state[key]:
            open_name(st.session_state.pop(key))

    st.selectbox(
        title, names, index=None, placeholder="choose one to open", key=key, on_change=chosen
    )
