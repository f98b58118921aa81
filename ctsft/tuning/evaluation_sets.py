"""What a tuning run measures by name: rows of its own task, rows of a related task, or texts.

Rows are answered and have an accuracy. Texts have a perplexity, which stands for the model's
general ability (`ctsft.model.perplexity`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ctsft.data.task import Example, Task
from ctsft.model.evaluation import evaluate
from ctsft.model.model import Model
from ctsft.model.perplexity import check_predicts_text, perplexity


@dataclass(frozen=True)
class TaskRows:
    """Rows of another task, with its own prompt and labels."""

    task: Task
    rows: list[Example]


@dataclass(frozen=True)
class Texts:
    """Texts whose perplexity is measured."""

    texts: list[str]


EvaluationSet = list[Example] | TaskRows | Texts


def measure_set(model: Model, task: Task, one: EvaluationSet) -> dict:
    """The metrics of `ctsft.model.evaluation.evaluate`, or what `perplexity` returns."""
    if isinstance(one, Texts):
        return perplexity(model, one.texts)
    if isinstance(one, TaskRows):
        return evaluate(model, one.task, one.rows)
    return evaluate(model, task, one)


def check_sets(model: Model, sets: Mapping[str, EvaluationSet]):
    """UserError where the model cannot answer with the labels of a related task, or has no
    perplexity.
    """
    for one in sets.values():
        if isinstance(one, TaskRows):
            one.task.label_ids(model)
        elif isinstance(one, Texts):
            check_predicts_text(model)


def evaluation_row(measured: Mapping[str, dict]) -> dict[str, dict]:
    """{"accuracy": {set: 0 to 1}, "metrics": {set: metrics}} of the sets of rows; and where texts
    were measured, "perplexity": {set: what `perplexity` returns}.
    """
    answered = {name: of for name, of in measured.items() if "accuracy" in of}
    texts = {name: of for name, of in measured.items() if "perplexity" in of}
    row = {
        "accuracy": {name: of["accuracy"] for name, of in answered.items()},
        "metrics": answered,
    }
    return row | ({"perplexity": texts} if texts else {})
