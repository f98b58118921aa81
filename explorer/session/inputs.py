"""The model, the task and the rows of a session, loaded once for all sessions."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

import ctsft
from ctsft.data.sources import Files
from ctsft.data.task import Example, Task
from ctsft.runs.recorded_models import recorded_model
from explorer.session.binding import view
from explorer.session.errors import sentences

if TYPE_CHECKING:  # torch, for which Compare does not wait
    from ctsft.model.model import Model

# a page runs models with at most this number of parameters without a request
SMALL = 50_000_000


@st.cache_resource(show_spinner="Loading the model ...", max_entries=3)
def load_model(name: str) -> "Model":
    from ctsft.model.without_weights import open_without_weights

    recorded = recorded_model(name)
    return open_without_weights(recorded) if recorded else ctsft.load_model(name)


def load_rows(task: str, data_dir: str, language: str, split: str) -> list[Example]:
    return _read_rows(task, data_dir, language, split, changed(task, data_dir, language, split))


@st.cache_data(show_spinner=False, max_entries=64)
def _read_rows(task: str, data_dir: str, language: str, split: str, files: tuple) -> list[Example]:
    return load_task(task, data_dir).load(language, split)


def changed(task: str, data_dir: str, language: str, split: str) -> tuple[tuple[int, int], ...]:
    """The modification times and sizes of the files that hold some rows; a change means other rows.
    Empty for remote files.
    """
    rows = load_task(task, data_dir).rows
    paths = [
        Path(task).expanduser(),
        *([rows.path(language, split)] if isinstance(rows, Files) else []),
    ]
    return tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths if path.is_file())


def load_task(task: str, data_dir: str) -> Task:
    return ctsft.load_task(task, data_dir or None)


def model() -> "Model":
    """The view's model; ends the page with an error message if it cannot be loaded."""
    with sentences(setup=True):
        return load_model(view().model)


def task() -> Task:
    with sentences(setup=True):
        return load_task(view().task, view().data_dir)


def rows(language: str, split: str) -> list[Example]:
    with sentences():
        return load_rows(view().task, view().data_dir, language, split)
