"""Errors as sentences on a page: mistakes that the program knows, and unexpected errors with their
details in an expander.
"""

import functools
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.runtime.scriptrunner import RerunException

from ctsft.utils.errors import UserError
from explorer.text.markdown import literal_sentence

FRAMES = 6  # of the traceback, shown in the details


def show_error(error: object):
    """The one place where an error's sentence becomes Markdown: escaped, because it quotes labels,
    languages and folders of unknown origin.
    """
    st.error(literal_sentence(str(error)), icon=":material/error:")


@contextmanager
def guarded() -> Iterator[None]:
    """Any error inside becomes a sentence. Streamlit's stop and rerun are not `Exception`s and pass
    through.
    """
    try:
        yield
    except UserError as error:
        show_error(error)
    except Exception as error:
        if type(error).__name__ == "FragmentHandledException":
            raise  # shown by the fragment already
        logging.getLogger(__name__).exception("a page failed")
        unexpected(error)


def is_rerun(error: BaseException | None) -> bool:
    """Whether it is the way in which Streamlit ends a run to begin another, or to change pages."""
    return isinstance(error, RerunException)


def unexpected(error: Exception):
    """A sentence, and the error with the end of its traceback; the server's log has all of it."""
    st.error(
        "An unexpected error occurred. Reload the page. If the error occurs again, change the last"
        " setting, or start again from Setup.",
        icon=":material/error:",
    )
    with st.expander("Details"):
        places = [
            f"{frame.filename.replace(chr(92), '/').rsplit('/', 1)[-1]}, line {frame.lineno}, in"
            f" {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-FRAMES:]
        ]
        st.code(
            "\n".join([f"{type(error).__name__}: {error}", *places]), language=None, wrap_lines=True
        )


def fragment(draw: Callable, run_every: float | None = None) -> Callable:
    """`st.fragment`, with errors shown as by `guarded`."""

    @functools.wraps(draw)
    def safe(*args):
        with guarded():
            draw(*args)

    return st.fragment(safe, run_every=run_every)


@contextmanager
def sentences(stop: bool = True, setup: bool = False) -> Iterator[None]:
    """A UserError inside becomes one sentence on the page, and the page ends there (`stop=False`:
    only the block ends). `setup`: with a link to Setup, where it can be fixed.
    """
    try:
        yield
    except UserError as error:
        show_error(error)
        if setup:
            st.page_link("setup/page.py", label="Fix it on Setup", icon=":material/arrow_back:")
        if stop:
            st.stop()
