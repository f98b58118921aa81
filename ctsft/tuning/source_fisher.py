"""Fisher information of the source over everything that is trained.

    F_i = mean over the source rows of (d loss of the row / d w_i) ** 2

The loss is the cross-entropy of the row's label token at the readout, w the checkpoint before
tuning (diagonal empirical Fisher information, arXiv 1612.00796). Each row costs one forward and
one backward pass of its own, because the square of a batch's mean gradient is something else.
"""

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ctsft.cache.entry import Entry
from ctsft.data.task import Task, balanced_sample
from ctsft.model.batching import pad
from ctsft.model.fingerprint import model_identity
from ctsft.model.forward import readout_logits
from ctsft.model.model import Model
from ctsft.tuning.checkpoints import trainable_parameters
from ctsft.tuning.lora_settings import Lora
from ctsft.tuning.trainable import Trainable
from ctsft.utils import distributed
from ctsft.utils.errors import UserError

FISHER_ROWS = 100  # source rows that the information is taken on

Progress = Callable[[float, float], None]
Encoded = list[tuple[list[int], int]]  # token ids of a prompt, and the token of its label


def fisher_rows(task: Task, source: list) -> list:
    """The rows that the information is taken on: at most `FISHER_ROWS` of the source's, with equal
    numbers per label, always the same.
    """
    return balanced_sample(source, min(FISHER_ROWS, len(source)), task.labels)


@dataclass
class SourceFisher:
    """The information of some source rows in a model, before anything of it is trained.

    rows: token ids and label tokens. Make it while the model is as it was loaded: the key of the
    stored information is taken from the model then.
    """

    model: Model
    rows: Encoded
    identity: dict

    @classmethod
    def of(cls, model: Model, rows: Encoded) -> "SourceFisher":
        return cls(model, rows, model_identity(model))

    def measure(
        self, hf: nn.Module, trainable: Trainable, lora: Lora, progress: Progress | None = None
    ) -> dict[str, torch.Tensor]:
        """{name of a trainable parameter: F, float32 in its shape}. hf: the model in training
        (`finetune.training`), before the first step. Stored, and read where it is stored already.
        progress(done, rows). UserError where it is NaN, infinite, or 0 everywhere.
        """
        named = trainable_parameters(hf)
        entry = self.entry(named, trainable, lora)
        stored = entry.read()
        # with several processes, all of them must have it
        if distributed.all_agree(bool(stored), self.model.device) and stored:
            return {name: stored[0][name].to(value.device) for name, value in named}
        information = squared_gradients(self.model, hf, self.rows, progress)
        total = sum(value.double().sum().item() for value in information.values())
        if not 0 < total < float("inf"):
            raise UserError(
                f"The Fisher information of the {len(self.rows)} source rows sums up to {total}, so"
                " it cannot hold the source; check the model's accuracy on the source, or tune"
                " without hold."
            )
        if distributed.RANK == 0:
            entry.write(information)
        return information

    def entry(self, named: list[tuple[str, nn.Parameter]], trainable: Trainable, lora: Lora):
        """The place of the information on disk."""
        parts = {name: (part.dim, part.index.tolist()) for name, part in trainable.parts.items()}
        return Entry(
            "fisher",
            self.identity,
            {"task": "", "what": f"{trainable.name}, {len(self.rows)} source rows"},
            {
                "rows": self.rows,
                "heads": sorted(trainable.heads),
                "parts": parts,
                "parameters": [(name, list(value.shape)) for name, value in named],
                # an adapter's gradient depends on its first values
                "lora": astuple(lora) if trainable.adapted else None,
            },
            by=squared_gradients,
        )


def squared_gradients(
    model: Model, hf: nn.Module, rows: Encoded, progress: Progress | None = None
) -> dict[str, torch.Tensor]:
    """{name of a trainable parameter of hf: mean over rows of its squared gradient, float32}. With
    several processes each takes its share of the rows, and all get the same sums.
    """
    names, parameters = zip(*trainable_parameters(hf), strict=True)
    total = [torch.zeros_like(value, dtype=torch.float32) for value in parameters]
    was_training = hf.training
    hf.eval()  # without dropout
    share = distributed.local_share(rows)
    for done, row in enumerate(share, 1):
        for sum_, value in zip(total, row_gradient(model, hf, row, parameters), strict=True):
            sum_ += value.float().square() / len(rows)
        if progress:
            progress(done, len(share))
    hf.train(was_training)
    return {
        name: distributed.sum_over_processes(value, model.device).to(value.device)
        for name, value in zip(names, total, strict=True)
    }


def row_gradient(
    model: Model, hf: nn.Module, row: tuple[list[int], int], parameters: Iterable[nn.Parameter]
) -> tuple[torch.Tensor, ...]:
    """The gradient of one row's loss; 0 for a parameter that the loss does not depend on."""
    ids, token = row
    batch = pad([ids], model.device, reads_first=model.architecture.reads_first)
    with torch.enable_grad():
        logits = readout_logits(hf, batch).float()  # [1, vocab]
        loss = F.cross_entropy(logits, torch.tensor([token], device=logits.device))
        return torch.autograd.grad(loss, parameters, materialize_grads=True)
