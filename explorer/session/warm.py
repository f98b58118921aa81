"""The libraries that take seconds to import (torch, transformers) are imported behind the first
screen, in a thread: the first screen needs none of them. Any other page waits for that thread:
transformers, which two threads import at once, gives one of them an ImportError.
"""

import gc
import logging
import sys
import threading
from importlib import import_module

# Plotly looks for pandas among the loaded modules with each figure, and fails on a half-imported
# one: it is here before the thread begins.
import pandas as pd  # noqa: F401
import streamlit as st

from ctsft import runs

MODULES = (
    "ctsft.jobs.tuning_table",
    "ctsft.plots.score_maps",
    "explorer.session.open_link",
    "explorer.session.score_runs",
    "explorer.session.circuit",
)
SECONDS = 0.4  # until the browser has drawn the first screen; between looks for a click

_lock = threading.Lock()
_done = threading.Event()
_thread: threading.Thread | None = None


def is_ready() -> bool:
    """Whether the libraries are imported."""
    return _done.is_set() or (_thread is None and "torch" in sys.modules)


def start():
    """Import them in a thread, once in a server."""
    global _thread
    with _lock:
        if _thread is None and not is_ready():
            _thread = threading.Thread(target=_import, daemon=True)
            _thread.start()


def load():
    """Import them, or wait until they are imported."""
    if not is_ready():
        start()
        _done.wait()


def _import():
    runs.prepare()  # beside it: a job that starts on the next page need not import them again
    try:
        for name in MODULES:
            import_module(name)
    except Exception:  # whoever needs the module meets the error, and says it
        logging.getLogger(__name__).exception("the libraries could not be imported")
    leave_to_the_end()
    _done.set()


def leave_to_the_end():
    """What the libraries have made stays as long as the server, and the garbage collector need not
    look at it: Streamlit collects after every run of the script, which takes 0.3 s otherwise.
    """
    gc.collect()
    gc.freeze()


def watch():
    """On the first screen: begins once the browser has drawn it, and completes the page when the
    libraries are there.
    """
    st.fragment(_complete, run_every=SECONDS)()


def _complete():
    """Waits inside one run: at the end of each run Streamlit collects garbage, which would hold up
    the imports. Each message to the browser lets a click through.
    """
    if is_ready():
        st.rerun()
    if not st.session_state.get("first_screen_drawn"):
        st.session_state.first_screen_drawn = True
        return
    start()
    place = st.empty()
    while not _done.wait(SECONDS):
        place.empty()
    st.rerun()
