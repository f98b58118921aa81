"""What the model answers: the label whose token has the highest logit at the readout."""

import warnings

import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score

from ctsft.data.task import Example, Task
from ctsft.model.forward import readout_logits
from ctsft.model.loading import as_model
from ctsft.model.memory_plan import forward_batches


@torch.no_grad()
def label_logits(
    model, task: Task, rows: list[Example], max_memory: int | str | None = None
) -> torch.Tensor:
    """Logits of the label tokens, [row, label], on the CPU, rows in their order. `max_memory`: a
    bound on the process's peak.
    """
    model = as_model(model)
    tokens = list(task.label_ids(model).values())
    out = torch.empty(len(rows), len(tokens))
    for batch in forward_batches(
        model, [task.encode(model, row) for row in rows], 0.25, max_memory
    ):
        out[batch.index] = readout_logits(model.hf, batch)[:, tokens].float().cpu()
    return out


def predict(
    model, task: Task, rows: list[Example], max_memory: int | str | None = None
) -> list[str]:
    """The predicted label of each row. `max_memory`: bytes, or words such as "4GB", that the
    process may use at its peak.
    """
    return [task.labels[i] for i in label_logits(model, task, rows, max_memory).argmax(-1).tolist()]


def accuracy(model, task: Task, rows: list[Example]) -> float:
    """Share of rows whose label is predicted, 0 to 1; NaN without rows."""
    return (
        float(accuracy_score([row.label for row in rows], predict(model, task, rows)))
        if rows
        else float("nan")
    )


def direction_weights(gold: torch.Tensor, n_labels: int) -> torch.Tensor:
    """Weights of `gold minus the mean of the others`, [row, label]: 1 for the gold label, -1 /
    (n_labels - 1) elsewhere.
    """
    out = torch.full((len(gold), n_labels), -1.0 / (n_labels - 1))
    out[torch.arange(len(gold)), gold] = 1.0
    return out


METRICS = ("accuracy", "macro_f1")


def metrics(gold: list[str], predicted: list[str], labels: tuple[str, ...]) -> dict:
    """{"accuracy", "macro_f1": 0 to 1, "recall": {label: 0 to 1, None where no row has the label},
    "rows"}; NaN without rows.
    """
    if not gold:
        return {
            "accuracy": float("nan"),
            "macro_f1": float("nan"),
            "recall": dict.fromkeys(labels),
            "rows": 0,
        }
    names = list(labels)
    with warnings.catch_warnings():
        # a label that nothing was predicted as is no accident worth a line
        warnings.simplefilter("ignore")
        recall = recall_score(gold, predicted, labels=names, average=None, zero_division=0.0)
        macro = f1_score(gold, predicted, labels=names, average="macro", zero_division=0.0)
    return {
        "accuracy": float(accuracy_score(gold, predicted)),
        "macro_f1": float(macro),
        "recall": {
            label: float(share) if label in gold else None
            for label, share in zip(names, recall, strict=True)
        },
        "rows": len(gold),
    }


def evaluate(model, task: Task, rows: list[Example]) -> dict:
    """`measures` of a model's answers to some rows."""
    return metrics(
        [row.label for row in rows], predict(model, task, rows) if rows else [], task.labels
    )


def metric_changes(
    before: dict[str, dict], after: dict[str, dict], source: str, target: str
) -> dict[str, dict[str, float]]:
    """{"forgetting": {measure: source before - after}, "plasticity": {measure: target after -
    before}}; sets by name.
    """
    return {
        "forgetting": {name: before[source][name] - after[source][name] for name in METRICS},
        "plasticity": {name: after[target][name] - before[target][name] for name in METRICS},
    }
