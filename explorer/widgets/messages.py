"""The result of a callback, shown once in the section that it belongs to."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from ctsft.utils.errors import UserError
from explorer.session import errors


def put(key: str, text: str):
    """Stores a success message for the next `show(key)`."""
    st.session_state[key] = text, True


@contextmanager
def errors_as(key: str) -> Iterator[None]:
    """A UserError inside becomes the message of the next `show(key)`."""
    try:
        yield
    except UserError as error:
        st.session_state[key] = str(error), False


def show(key: str):
    if key not in st.session_state:
        return
    text, success = st.session_state.pop(key)
    if success:
        st.success(text)
    else:
        errors.show_error(text)
