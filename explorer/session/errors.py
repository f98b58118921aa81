"""What nobody foresaw, told in one sentence with its details folded away: around a page, and around
a part of one that reruns by itself.
"""

import functools
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from ctsft.utils.errors import UserError

FRAMES = 6  # the last ones, in the folded details


@contextmanager
def guarded() -> Iterator[None]:
    """Any error inside becomes a sentence; Streamlit's own stop and rerun are no `Exception`s and
    pass through.
    """
    try:
        yield
    except UserError as error:
        st.error(str(error), icon=":material/error:")
    except Exception as error:
        if type(error).__name__ == "FragmentHandledException":
            # told in its own place already
            raise
        logging.getLogger(__name__).exception("a page failed")
        told(error)


def told(error: Exception):
    """The sentence, and what happened where; the whole of it is in the server's log."""
    st.error(
        "Something went wrong that this page did not expect. Reload the page; if it comes again,"
        " change the last thing you chose, or start anew from Setup.",
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
    """`st.fragment`, guarded."""

    @functools.wraps(draw)
    def safe(*args):
        with guarded():
            draw(*args)

    return st.fragment(safe, run_every=run_every)


@contextmanager
def sentences(stop: bool = True, setup: bool = False) -> Iterator[None]:
    """A UserError inside becomes one sentence on the page, and the page ends there (`stop=False`:
    only the block does). `setup`: with the way to the page where it can be mended.
    """
    try:
        yield
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        if setup:
            st.page_link("setup/page.py", label="Mend it on Setup", icon=":material/arrow_back:")
        if stop:
            st.stop()
