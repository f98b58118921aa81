"""Accuracy before any tuning, on Setup: in the source and the target language, with confusion
matrices of these and of further languages.
"""

from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.plots import data
from ctsft.receipts.receipt import Receipt
from ctsft.utils.errors import UserError
from explorer.session import binding, computed, errors, inputs, receipts
from explorer.session.data_facts import confusion, split_of
from explorer.setup import competence
from explorer.setup.measured_accuracy import MeasuredAccuracy
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal, short
from explorer.widgets import chart, receipt

INTERVAL = "± standard error over the rows"
MATRICES_PER_ROW = 2
# rows of both languages that a small model answers without a request
MOST_ROWS = 2000


@dataclass(frozen=True)
class Measurement:
    """The accuracy in one language, the split it was measured on, and its confusion matrix."""

    language: str
    accuracy: MeasuredAccuracy
    split: str
    matrix: go.Figure
    never: tuple[str, ...] = ()  # labels that were no row's answer


def draw(model: Model, task: Task):
    view = binding.view()
    roles = {view.source: "source", view.target: "target"}
    if not may_measure(model, sum(row_count(task, language) for language in roles)):
        return
    measurements = {}
    with receipt.covered("accuracy", receipts_of(model, task, list(roles)), INTERVAL):
        for column, (language, role) in zip(st.columns(2), roles.items(), strict=False):
            with column, errors.sentences(stop=False):
                measurements[role] = measure(model, task, language)
                show(measurements[role], role)
        if measurements:
            others = [language for language in task.languages if language not in roles]
            with st.expander("Confusion matrices"):
                matrices(model, task, list(measurements.values()), others)
        if "source" in measurements:
            source = measurements["source"]
            competence.draw(source.accuracy, source.never)


def receipts_of(model: Model, task: Task, languages: list[str]) -> list[Receipt]:
    """Of the accuracies in these languages, which the page measures itself."""
    of_languages = []
    for language in languages:
        split = split_of(task, language, binding.view().split)
        of_languages.append(receipts.of_accuracy(model, language, split, INTERVAL))
    return [one for one in of_languages if one]


def row_count(task: Task, language: str) -> int:
    """How many rows `measure` would read; 0 where it says what is wrong with them."""
    view = binding.view()
    try:
        split = split_of(task, language, view.split)
        return len(inputs.load_rows(view.task, view.data_dir, language, split))
    except UserError:
        return 0


def may_measure(model: Model, rows: int) -> bool:
    """True for a small model on few rows, or after the button was pressed."""
    view = binding.view()
    subject = (view.model, view.task, view.data_dir)
    measured = st.session_state.setdefault("measured", set())
    few = rows <= MOST_ROWS
    if (model.n_params <= inputs.SMALL and few) or subject in measured:
        return True
    if st.button(
        "Measure accuracy",
        help=f"{short(model.n_params)} parameters, {rows:,} rows: this may take minutes on"
        f" {model.device}.",
    ):
        measured.add(subject)
        return True
    what = "of a model of this size" if few else f"on {rows:,} rows"
    st.caption(f"The accuracy {what} is measured only on request.")
    return False


def measure(model: Model, task: Task, language: str) -> Measurement:
    """Measured on the test rows, else on the validation rows, else on the chosen split."""
    view = binding.view()
    split = split_of(task, language, view.split)
    rows = inputs.load_rows(view.task, view.data_dir, language, split)
    answers = computed.answers(
        view.model, model.fingerprint, (view.task, view.data_dir, language, split)
    )
    accuracy = MeasuredAccuracy.of(rows, answers, len(task.labels))
    title = (
        f"{language}: {accuracy.accuracy:.2f} ± {accuracy.error:.2f}, {accuracy.rows} {split} rows"
    )
    counts = confusion(rows, answers, task.labels)
    matrix = data.confusion_map(counts, task.labels, title=title)
    never = tuple(label for label in task.labels if label not in answers)
    return Measurement(language, accuracy, split, matrix, never)


def show(measurement: Measurement, role: str):
    dot = {"source": ":blue[●]", "target": ":orange[●]"}[role]
    accuracy = measurement.accuracy
    st.metric(
        f"{dot} Accuracy in {literal(measurement.language)} ({role})",
        f"{accuracy.accuracy:.2f} ± {accuracy.error:.2f}",
        help="Before any tuning. " + TERMS["accuracy"],
    )
    st.caption(f"{accuracy.rows} {measurement.split} rows; guessing reaches {accuracy.chance:.2f}")


def matrices(model: Model, task: Task, measurements: list[Measurement], others: list[str]):
    """The matrices of `measurements`, and of those `others` that the user chooses."""
    st.caption(
        "Each cell is a number of rows; darker cells hold a larger share of their row. Correct"
        " answers lie on the diagonal.",
        help=TERMS["confusion"],
    )
    figures = [measurement.matrix for measurement in measurements]
    for language in further_languages(others):
        with errors.sentences(stop=False):
            figures.append(measure(model, task, language).matrix)
    for start in range(0, len(figures), MATRICES_PER_ROW):
        row = figures[start : start + MATRICES_PER_ROW]
        for i, (column, figure) in enumerate(
            zip(st.columns(MATRICES_PER_ROW), row, strict=False), start
        ):
            with column:
                chart.show(figure, f"confusion-{i}")


def further_languages(others: list[str]) -> list[str]:
    """The languages chosen from `others`."""
    if not others:
        return []
    chosen = [language for language in binding.view().accuracy_languages if language in others]
    if chosen != binding.view().accuracy_languages:
        binding.put(accuracy_languages=chosen)
    st.pills(
        "Further languages",
        others,
        selection_mode="multi",
        format_func=literal,
        wrap=True,
        **binding.bind("accuracy_languages"),
        help="Measured on their test rows, or on validation rows where there are no test rows.",
    )
    return binding.view().accuracy_languages
