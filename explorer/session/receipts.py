"""Receipts of what a page shows: of runs, and of what it measured or counted itself. Each is made
once for the same model and the same files.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from ctsft import runs
from ctsft.data.task import Example
from ctsft.jobs.requests import Subject
from ctsft.receipts.of_runs import computed_receipt, counted_receipt, receipt_of
from ctsft.receipts.receipt import Receipt, RowSet
from ctsft.runs.recorded_models import RecordedModel
from ctsft.utils.errors import UserError
from explorer.session import binding, inputs

if TYPE_CHECKING:  # torch, for which Compare does not wait
    from ctsft.model.model import Model

RowFiles = tuple[str, str, str, str, tuple]  # task, folder, language, split, state of the files


def of_run(run: runs.Run | str) -> Receipt | None:
    """None for a run that was deleted meanwhile, or whose request cannot be read."""
    try:
        return receipt_of(runs.get(run) if isinstance(run, str) else run)
    except UserError:
        return None


def of_accuracy(model: "Model", language: str, split: str, interval: str) -> Receipt | None:
    """Of an accuracy that the page measured on all rows; None where these cannot be read."""
    subject = replace(binding.view().subject, language=language, split=split)
    try:
        return _of_accuracy(subject, weights(model), row_files(language, split), interval)
    except UserError:
        return None


def of_counts(model: "Model | None", expression: str, languages: Sequence[str] = ()) -> Receipt:
    """Of what the page counted of a model, or of the view's rows in these languages. expression:
    of Python, with `ctsft` imported.
    """
    view = binding.view()
    files = []
    for language in dict.fromkeys(languages):
        try:
            files.append(row_files(language, view.split))
        except UserError:
            continue
    return _of_counts(view.subject, weights(model), tuple(files), expression)


def of_recording(recorded: RecordedModel) -> Receipt:
    """Of the accuracies that came with a recorded model."""
    return Receipt(
        command="none: the weights are not here",
        run="none: recorded with the model",
        rows=tuple(RowSet(name=language, split="valid") for language in recorded.accuracy),
        seed="none: nothing is drawn",
        model_fingerprint=recorded.fingerprint,
        interval="none: not recorded",
    )


def weights(model: "Model | None") -> str:
    """The fingerprint of a model's weights; that of a large one only once something else has
    computed it.
    """
    if model is None:
        return "none: no model is loaded"
    if model.n_params <= inputs.SMALL or model.has_fingerprint:
        return model.fingerprint
    return "not computed yet: the model is large"


def row_files(language: str, split: str) -> RowFiles:
    view = binding.view()
    rows = view.task, view.data_dir, language, split
    return *rows, inputs.changed(*rows)


def load(files: RowFiles) -> list[Example]:
    return inputs.load_rows(*files[:-1])


@st.cache_data(show_spinner=False, max_entries=64)
def _of_accuracy(subject: Subject, fingerprint: str, files: RowFiles, interval: str) -> Receipt:
    return computed_receipt(subject, fingerprint, load(files), interval)


@st.cache_data(show_spinner=False, max_entries=64)
def _of_counts(
    subject: Subject, fingerprint: str, files: tuple[RowFiles, ...], expression: str
) -> Receipt:
    rows = {}
    for one in files:
        try:
            rows[one[2]] = load(one)
        except UserError:
            continue
    return counted_receipt(subject, fingerprint, rows, expression)
