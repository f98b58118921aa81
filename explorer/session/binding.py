"""The choices of one browser session (`View`), and the widgets that change them.

Settings are stored in the `View`, not in widgets: Streamlit forgets a widget when its page is left.
`bind` ties a widget to a field, `put` sets a field from code.
"""

from collections.abc import Callable

import streamlit as st

from explorer.session.view import CIRCUIT_FIELDS, View

MAX_UNDO = 100  # steps


def view() -> View:
    if "view" not in st.session_state:
        st.session_state.view = View()
    return st.session_state.view


def bind(name: str, then: Callable | None = None) -> dict:
    """Keyword arguments that tie a widget to a field of the view: `st.slider("Heads", 1, 48,
    **bind("k"))`.

    A change of a circuit field is stored for undo. `then()` is called after a change.
    """
    key = f"w_{name}"
    # in every run: for Streamlit, the same field on another page is another widget
    st.session_state[key] = getattr(view(), name)

    def changed():
        if key not in st.session_state:
            return  # another callback of the same event has just put this field
        if name in CIRCUIT_FIELDS:
            remember()
        setattr(view(), name, st.session_state[key])
        if then:
            then()

    return {"key": key, "on_change": changed}


def put(**fields):
    """Set fields of the view from code, in a callback or before their widgets are drawn."""
    for name, value in fields.items():
        setattr(view(), name, value)
        st.session_state.pop(f"w_{name}", None)


def remember():
    """Store the current circuit settings for undo; what was undone before cannot be redone."""
    current = view()
    current.past = [*current.past[-(MAX_UNDO - 1) :], circuit_settings()]
    current.future = []


def circuit_settings() -> dict:
    return {name: getattr(view(), name) for name in CIRCUIT_FIELDS}


def undo():
    if view().past:
        view().future.append(circuit_settings())
        put(**view().past.pop())


def redo():
    if view().future:
        view().past.append(circuit_settings())
        put(**view().future.pop())


def forget_circuit():
    """When the model or the task changes, remove what belongs to it: the edits by hand, the
    selected head, the history, the discovered circuit.
    """
    put(
        added=frozenset(),
        removed=frozenset(),
        head=None,
        pinned=[],
        past=[],
        future=[],
        discovered=None,
        overlap_circuits=[],
    )
    if view().rule == "discover":
        put(rule=View.rule)
