"""What the model answers: the label whose token has the highest logit at the readout."""

import torch
from sklearn.metrics import accuracy_score

from ctsft.data.task import Example, Task
from ctsft.loading import as_model
from ctsft.trace import plain_batches, readout_logits


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
    for batch in plain_batches(model, [task.encode(model, row) for row in rows], 0.25, max_memory):
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


def directions(gold: torch.Tensor, n_labels: int) -> torch.Tensor:
    """Weights of `gold minus the mean of the others`, [row, label]: 1 for the gold label, -1 /
    (n_labels - 1) elsewhere.
    """
    out = torch.full((len(gold), n_labels), -1.0 / (n_labels - 1))
    out[torch.arange(len(gold)), gold] = 1.0
    return out
