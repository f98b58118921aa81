"""What one browser session has chosen (`View`), and what all sessions share (models, rows, scores),
in one typed place.

Settings live in the `View`, not in widgets: Streamlit forgets a widget when its page is left.
`bind` ties a widget to a field, `put` sets a field from code. Loaded models are shared between
sessions and never changed by a page.
"""

from collections.abc import Callable

import streamlit as st

from explorer.session.view import CIRCUIT_FIELDS, View


def view() -> View:
    if "view" not in st.session_state:
        st.session_state.view = View()
    return st.session_state.view


def bind(name: str, then: Callable | None = None) -> dict:
    """Keyword arguments that tie a widget to a field of the view: `st.slider("Heads", 1, 48,
    **bind("k"))`.

    Circuit fields remember the value before for undo. `then()` runs after a change.
    """
    key = f"w_{name}"
    # always: another page's widget of this field is another widget to Streamlit
    st.session_state[key] = getattr(view(), name)

    def changed():
        if name in CIRCUIT_FIELDS:
            remember()
        setattr(view(), name, st.session_state[key])
        if then:
            then()

    return {"key": key, "on_change": changed}


def put(**fields):
    """Set fields from code, in a callback or before their widgets are drawn."""
    for name, value in fields.items():
        setattr(view(), name, value)
        st.session_state.pop(f"w_{name}", None)


def remember():
    """Keep the circuit's settings as they are now, to come back to; what was undone before is
    gone.
    """
    now = view()
    now.past, now.future = [*now.past[-99:], chosen()], []


def chosen() -> dict:
    return {name: getattr(view(), name) for name in CIRCUIT_FIELDS}


def undo():
    if view().past:
        view().future.append(chosen())
        put(**view().past.pop())


def redo():
    if view().future:
        view().past.append(chosen())
        put(**view().future.pop())


def forget_circuit():
    """Hand edits belong to one model and task: drop them when either changes."""
    put(
        added=frozenset(),
        removed=frozenset(),
        head=None,
        past=[],
        future=[],
        discovered=None,
        overlap_circuits=[],
    )
    if view().rule == "discover":
        put(rule=View.rule)
