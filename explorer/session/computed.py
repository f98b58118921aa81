"""Results that take a moment and that all sessions share: predictions, prompt lengths, costs, one
head on one example. They are cached under everything they depend on.
"""

import time
from dataclasses import replace
from typing import NamedTuple

import streamlit as st

from ctsft.attribution.cost_estimate import Estimate, estimate_cost
from ctsft.attribution.head_view import HeadView, view_head
from ctsft.attribution.scores import Head
from ctsft.data.task import Example
from ctsft.jobs.requests import Scoring
from ctsft.model.evaluation import label_logits, predict
from ctsft.runs.run_list import get
from ctsft.utils.errors import UserError
from explorer.session import inputs, score_runs
from explorer.session.data_facts import spread

Rows = tuple[str, str, str, str]  # task, data folder, language, split
TIMED_PASSES = 3
PoolExample = tuple[str, int]  # a scoring run, and the index of an example in its pool


class OwnText(NamedTuple):
    """A text that is in no data: the scoring run whose means count, and the correct label."""

    run: str
    text: str
    label: str


def answers(model: str, weights: str, rows: Rows) -> list[str]:
    """The predicted label of every row; `weights` is the model's fingerprint."""
    return _answers(model, weights, rows, inputs.changed(*rows))


@st.cache_data(show_spinner="Measuring accuracy ...", max_entries=256)
def _answers(model: str, weights: str, rows: Rows, files: tuple) -> list[str]:
    task = inputs.load_task(*rows[:2])
    return predict(inputs.load_model(model), task, inputs.load_rows(*rows))


class FewAnswers(NamedTuple):
    """Answers to a few rows, the labels in turn: how many, how many right, and which labels."""

    asked: int
    right: int
    answers: frozenset[str]


def few_answers(model: str, weights: str, rows: Rows, n: int) -> FewAnswers:
    """The answers to `n` of the rows that a discovery set is drawn from."""
    return _few_answers(model, weights, rows, n, inputs.changed(*rows))


@st.cache_data(show_spinner="Checking the answers ...", max_entries=64)
def _few_answers(model: str, weights: str, rows: Rows, n: int, files: tuple) -> FewAnswers:
    task = inputs.load_task(*rows[:2])
    some = spread(task.pools(inputs.load_rows(*rows))[0], task.labels, n)
    answers = predict(inputs.load_model(model), task, some)
    right = sum(row.label == answer for row, answer in zip(some, answers, strict=True))
    return FewAnswers(len(some), right, frozenset(answers))


def lengths(model: str, rows: Rows) -> list[int]:
    """Tokens of each row's prompt."""
    return _lengths(model, rows, inputs.changed(*rows))


@st.cache_data(show_spinner=False, max_entries=256)
def _lengths(model: str, rows: Rows, files: tuple) -> list[int]:
    task, loaded = inputs.load_task(*rows[:2]), inputs.load_model(model)
    return [len(task.encode(loaded, row)) for row in inputs.load_rows(*rows)]


@st.cache_data(show_spinner="Estimating the cost ...", max_entries=256)
def cost(model: str, weights: str, rows: Rows, scoring: Scoring) -> Estimate:
    """The cost of scoring every head on `scoring.size` of these rows; takes about a second."""
    loaded, task = inputs.load_model(model), inputs.load_task(*rows[:2])
    some = inputs.load_rows(*rows)[: scoring.size]
    config = scoring.config | {"score": "signed", "positions": scoring.positions}
    return estimate_cost(
        loaded, [task.encode(loaded, row) for row in some], scoring.method, **config
    )


@st.cache_data(show_spinner=False, max_entries=64)
def forward_seconds(model: str, weights: str, rows: Rows, count: int) -> float:
    """Seconds of a forward pass over one row: the best of some passes over the first `count` rows,
    since the first one also sets things up.
    """
    loaded, task = inputs.load_model(model), inputs.load_task(*rows[:2])
    some = inputs.load_rows(*rows)[:count]
    best = float("inf")
    for _ in range(TIMED_PASSES):
        began = time.perf_counter()
        label_logits(loaded, task, some)
        best = min(best, time.perf_counter() - began)
    return best / max(len(some), 1)


@st.cache_data(show_spinner="Reading the head ...", max_entries=512)
def head_view(
    model: str, weights: str, rows: Rows, at: PoolExample | OwnText, head: Head, scoring: Scoring
) -> HeadView:
    """One head on one example of a run's discovery set, or on a text."""
    run, task = get(at[0]), inputs.load_task(*rows[:2])
    config = scoring.config | {"adaptive": False, "certified": False, "normalise": "none"}
    return view_head(
        inputs.load_model(model),
        task,
        Example("own", at.text, at.label) if isinstance(at, OwnText) else example(*at, rows),
        score_runs.means_of(run),
        head,
        scoring.method,
        **config,
    )


@st.cache_data(show_spinner=False, max_entries=256)
def answer_to(model: str, weights: str, rows: Rows, text: str) -> str:
    """The model's answer to a text in the task's prompt."""
    task = inputs.load_task(*rows[:2])
    return predict(inputs.load_model(model), task, [Example("own", text, task.labels[0])])[0]


def example(run_id: str, index: int, rows: Rows) -> Example:
    """The row of example `index` of a run's pool. Raises UserError if the data does not contain it
    any more.
    """
    scored = score_runs.pool_of(get(run_id))[index]
    for row in inputs.load_rows(*rows):
        if row.id == scored["id"] and row.text == scored["text"]:
            return replace(row, label=scored["label"])
    raise UserError(f"Example {scored['id']!r} is no longer in the data; score the heads again.")
