"""A model's answers to the rows of a task, and how good they are.

The answer to a row is the label whose token (or class) has the highest logit at the readout. Its
quality is measured by accuracy, by macro F1 (the mean of F1 over the labels that rows have) and by
the recall of each label. Right or wrong is stored for each row, so that two models can be compared
on the same rows. Tuning is judged by how much the source language loses, *forgetting*, and how much
the target language gains, *plasticity*.
"""

import warnings

import torch

from ctsft.data.task import Example, Task
from ctsft.model.forward import readout_logits
from ctsft.model.loading import as_model
from ctsft.model.memory_plan import forward_batches
from ctsft.utils.errors import UserError


class NotFiniteLogits(UserError):
    """A model answered with logits that are NaN or infinite."""


METRICS = ("accuracy", "macro_f1")  # those that stand for a whole set of rows

# share of a batch that may be padding
PADDING = 0.25


@torch.no_grad()
def label_logits(
    model, task: Task, rows: list[Example], max_memory: int | str | None = None
) -> torch.Tensor:
    """Logits of the labels, [row, label], float32 on the CPU; rows and labels in their order.

    `max_memory`: bytes, or text such as "4GB", that the process may use at its peak. Raises
    UserError when one text does not fit, and NotFiniteLogits.
    """
    model = as_model(model)
    tokens = list(task.label_ids(model).values())
    encoded = [task.encode(model, row) for row in rows]
    out = torch.empty(len(rows), len(tokens))
    for batch in forward_batches(model, encoded, PADDING, max_memory):
        out[batch.index] = readout_logits(model.hf, batch)[:, tokens].float().cpu()
    return finite_logits(out, model.dtype)


def finite_logits(logits: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`logits` [row, label] as they are; NotFiniteLogits if one is NaN or infinite: the largest of
    them would be no answer. dtype: of the model.
    """
    wrong = ~logits.isfinite().all(-1)
    if wrong.any():
        raise NotFiniteLogits(
            f"The model's logits are NaN or infinite for {int(wrong.sum())} of {len(logits)} texts"
            f" (its numbers are {str(dtype).removeprefix('torch.')}), so it has no answer there;"
            " load it with --dtype float32, or use another checkpoint."
        )
    return logits


def predict(
    model, task: Task, rows: list[Example], max_memory: int | str | None = None
) -> list[str]:
    """The predicted label of each row.

    `max_memory`: bytes, or text such as "4GB", that the process may use at its peak. Raises
    UserError when one text does not fit, and NotFiniteLogits.
    """
    best = label_logits(model, task, rows, max_memory).argmax(-1)
    return [task.labels[number] for number in best.tolist()]


def accuracy(model, task: Task, rows: list[Example]) -> float:
    """Share of rows whose label is predicted, 0 to 1; NaN without rows."""
    if not rows:
        return float("nan")
    predicted = predict(model, task, rows)
    return share_right([row.label for row in rows], predicted)


def share_right(gold: list[str], predicted: list[str]) -> float:
    """Accuracy, 0 to 1."""
    return sum(one == other for one, other in zip(gold, predicted, strict=True)) / len(gold)


def evaluate(model, task: Task, rows: list[Example]) -> dict:
    """The `metrics` of a model's answers to some rows."""
    predicted = predict(model, task, rows) if rows else []
    return metrics([row.label for row in rows], predicted, task.labels)


def metrics(gold: list[str], predicted: list[str], labels: tuple[str, ...]) -> dict:
    """{"accuracy": 0 to 1, "macro_f1": 0 to 1, "recall": {label: 0 to 1}, "rows": their number,
    "right": a text with "1" for each row that is answered right and "0" for each other}.

    Accuracy and F1 are NaN without rows; the recall of a label that no row has is None, and macro
    F1 does not count it.
    """
    if not gold:
        nan = float("nan")
        recall = dict.fromkeys(labels)
        return {"accuracy": nan, "macro_f1": nan, "recall": recall, "rows": 0, "right": ""}
    from sklearn.metrics import f1_score, recall_score  # takes a second to import

    names = list(labels)
    present = [label for label in labels if label in gold]
    with warnings.catch_warnings():
        # scikit-learn warns of labels that were never predicted; `zero_division` handles them
        warnings.simplefilter("ignore")
        recall = recall_score(gold, predicted, labels=names, average=None, zero_division=0.0)
        macro_f1 = f1_score(gold, predicted, labels=present, average="macro", zero_division=0.0)
    return {
        "accuracy": share_right(gold, predicted),
        "macro_f1": float(macro_f1),
        "recall": {
            label: float(share) if label in gold else None
            for label, share in zip(names, recall, strict=True)
        },
        "rows": len(gold),
        "right": "".join("01"[one == other] for one, other in zip(gold, predicted, strict=True)),
    }


def metric_changes(
    before: dict[str, dict], after: dict[str, dict], source: str, target: str
) -> dict[str, dict[str, float]]:
    """{"forgetting": {metric: source before - after}, "plasticity": {metric: target after -
    before}}.

    `before`, `after`: {language: `metrics`}; `source`, `target`: two of these languages.
    """
    return {
        "forgetting": {name: before[source][name] - after[source][name] for name in METRICS},
        "plasticity": {name: after[target][name] - before[target][name] for name in METRICS},
    }


def direction_weights(gold: torch.Tensor, n_labels: int) -> torch.Tensor:
    """Weights of "gold logit minus the mean of the other labels' logits", [row, label]: 1 for the
    gold label, -1 / (n_labels - 1) elsewhere. gold: [row], numbers of the labels.
    """
    out = torch.full((len(gold), n_labels), -1.0 / (n_labels - 1))
    out[torch.arange(len(gold)), gold] = 1.0
    return out
