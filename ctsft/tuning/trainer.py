"""transformers' Trainer with the loss of CT-SFT: the cross-entropy of the label token at the
readout (arXiv 2601.08146).
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F
from transformers import PrinterCallback

from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.model.model import Model
from ctsft.tuning.checkpoints import Checkpointing
from ctsft.tuning.observer import Observer
from ctsft.tuning.replayed_rows import MixedRows
from ctsft.tuning.source_keeping import SourceKeeping
from ctsft.utils import distributed

IGNORED = -100  # the label of a row that does not count


class Readout(torch.nn.Module):
    """A model as one call, batch -> logits at the readout, for DistributedDataParallel, which
    averages the gradients of one call over several processes.
    """

    # `compute_loss` returns the loss of a whole step already
    accepts_loss_kwargs = True

    def __init__(self, hf):
        super().__init__()
        self.hf = hf
        if hasattr(hf, "hf_device_map"):
            self.hf_device_map = hf.hf_device_map

    def forward(self, batch):
        return readout_logits(self.hf, batch)  # [batch, vocab]


class CircuitTrainer(Checkpointing):
    """The Trainer with the readout's loss; its checkpoints hold the observer's history.

    The loss of a step is the mean over its rows, however they are split into batches and over
    processes. Every process reads the whole batch and takes its share (`collate`), so that a last,
    smaller batch is shared like the others.
    """

    observer: Observer
    keeping: SourceKeeping

    def follow(self, observer: Observer):
        """Connect the observer, and write nothing to stdout, where a command's result goes."""
        self.remove_callback(PrinterCallback)
        self.observer = observer
        observer.trainer = self
        observer.scales_gradients = self.accelerator.scaler is not None

    def keep_source(self, keeping: SourceKeeping):
        """Add the terms of the loss and the replayed rows that keep the source."""
        self.keeping = keeping

    def _get_train_sampler(self, train_dataset=None):
        if not self.keeping.replayed:
            return super()._get_train_sampler(train_dataset)
        rows = len(self.train_dataset)
        target_rows = rows - len(self.keeping.replayed)
        return MixedRows(target_rows, rows, self.observer.config.seed)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        observer = self.observer
        observer.inputs = inputs
        with torch.autocast(
            observer.model.device.type,
            torch.bfloat16,
            enabled=observer.config.precision == "bf16",
        ):
            logits = model(inputs["batch"])
            terms = [term(self.state.global_step, inputs["rows"]) for term in self.keeping.terms]
        total = F.cross_entropy(
            logits.float(), inputs["labels"], ignore_index=IGNORED, reduction="sum"
        )
        # DistributedDataParallel averages gradients over processes; their sum is needed
        total = total * distributed.PROCESSES
        observer.losses.append(total.detach() / inputs["rows"])
        rows = num_items_in_batch or inputs["rows"]
        # a step's terms are weighted by the rows of its batches, and so count once
        loss = total / rows + sum(terms) * inputs["rows"] / rows
        return (loss, logits) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples, device):
        return sum(batch["rows"] for batch in batch_samples)

    def get_train_dataloader(self):
        loader = super().get_train_dataloader()
        if not distributed.is_single_process():
            # accelerate would deal out whole batches, and fill up the last ones
            sampler = loader.batch_sampler
            sampler.num_processes = 1
            sampler.process_index = 0
            sampler.even_batches = False
        return loader

    def observed(self) -> dict:
        return self.observer.observed()


def collate(model: Model) -> Callable:
    """The function that makes a batch of (token ids, label token) rows: this process's share of
    them, or one row that does not count where the share is empty.
    """

    def batch_of(rows: list[tuple[list[int], int]]) -> dict:
        share = distributed.local_share(rows) or [(rows[0][0], IGNORED)]
        ids, tokens = zip(*share, strict=True)
        return {
            "batch": pad(list(ids), model.device, reads_first=model.architecture.reads_first),
            "labels": torch.tensor(tokens, device=model.device),
            "rows": len(rows),
        }

    return batch_of
