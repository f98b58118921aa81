"""Gradients of the label loss with respect to the attention matrices, and the Fisher information
that follows from them.
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from ctsft.data.task import Example, Task
from ctsft.model.batching import pad
from ctsft.model.evaluation import finite_logits
from ctsft.model.forward import readout_logits
from ctsft.model.loading import as_model
from ctsft.model.model import Model

BATCH = 8  # rows of one gradient

Progress = Callable[[float, float], None]


class Gradients:
    """Gradients of the label loss with respect to every attention matrix of a model, which stays as
    it is.
    """

    def __init__(self, model: Model, task: Task):
        self.model = model
        self.task = task
        self.tokens = task.label_ids(model)
        modules = {
            id(linear.module): linear.module
            for block in model.blocks
            for linear in (block.q, block.k, block.v, block.o)
        }
        self.parameters = [
            parameter
            for module in modules.values()
            for parameter in module.parameters(recurse=False)
        ]

    def of(self, rows: list[Example]) -> list[torch.Tensor]:
        """Gradient of the rows' mean cross-entropy of the gold label at the readout: float64, one
        tensor for each parameter, in its shape. NotFiniteLogits when the loss has none.
        """
        batch = pad(
            [self.task.encode(self.model, row) for row in rows],
            self.model.device,
            reads_first=self.model.architecture.reads_first,
        )
        gold = torch.tensor([self.tokens[row.label] for row in rows], device=self.model.device)
        required = [parameter.requires_grad for parameter in self.parameters]
        try:
            for parameter in self.parameters:
                parameter.requires_grad_(True)
            with torch.enable_grad():
                logits = readout_logits(self.model.hf, batch).float()
                finite_logits(logits[:, list(self.tokens.values())], self.model.dtype)
                loss = F.cross_entropy(logits, gold)
                gradients = torch.autograd.grad(loss, self.parameters)
            return [value.detach().double() for value in gradients]
        finally:
            for parameter, require in zip(self.parameters, required, strict=True):
                parameter.requires_grad_(require)

    def zeros(self) -> list[torch.Tensor]:
        return [torch.zeros_like(value, dtype=torch.float64) for value in self.parameters]


def mean_gradient(
    gradients: Gradients, rows: list[Example], batch: int = BATCH
) -> list[torch.Tensor]:
    """Gradient of the mean loss over all rows, in batches of rows of similar length."""
    by_length = sorted(rows, key=lambda row: len(row.text))
    total = gradients.zeros()
    for start in range(0, len(by_length), batch):
        some = by_length[start : start + batch]
        for sum_, value in zip(total, gradients.of(some), strict=True):
            sum_ += value * (len(some) / len(rows))
    return total


def fisher(
    model, task: Task, rows: list[Example], progress: Progress | None = None
) -> list[torch.Tensor]:
    """Diagonal empirical Fisher information of the attention matrices: the mean over rows of each
    one's squared gradient (arXiv 1612.00796). float64, in the order of `Gradients.parameters`.
    """
    gradients = Gradients(as_model(model), task)
    total = gradients.zeros()
    for done, row in enumerate(rows, 1):
        for sum_, value in zip(total, gradients.of([row]), strict=True):
            sum_ += value.square() / len(rows)
        if progress:
            progress(done, len(rows))
    return total
