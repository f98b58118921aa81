"""What a run does to keep the source, as its settings say: the pull (`source_hold`), terms of the
loss (`source_terms`), and source rows among the target's (`replayed_rows`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import TrainerCallback

from ctsft.data.task import Example, Task, balanced_sample
from ctsft.model.model import Model
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.source_fisher import Encoded, Progress, SourceFisher, fisher_rows
from ctsft.tuning.source_hold import SourceHold, relative_fisher
from ctsft.tuning.source_terms import DivergenceTerm, QuadraticTerm
from ctsft.tuning.trainable import Trainable
from ctsft.utils.errors import UserError

# (step, rows of the batch) -> a term of the loss
Term = Callable[[int, int], torch.Tensor]


@dataclass
class SourceKeeping:
    """The source rows of a run, and what they are for. Make it with `of`, and then `begin` when the
    trainable parameters are in place.

    replayed: rows that are trained on with the target's. callbacks and terms are set by `begin`.
    """

    model: Model
    config: TuneConfig
    tokens: list[int]  # of the labels
    rows: Encoded = field(default_factory=list)
    replayed: Encoded = field(default_factory=list)
    fisher: SourceFisher | None = None
    callbacks: list[TrainerCallback] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        model: Model,
        task: Task,
        source: list[Example] | None,
        encode: Callable[[list[Example]], Encoded],
        config: TuneConfig,
    ) -> "SourceKeeping":
        """For a model that is still as it was loaded. UserError without source rows where the
        settings need them.
        """
        keeping = cls(model, config, list(task.label_ids(model).values()))
        if not config.needs_source:
            return keeping
        if not source:
            raise UserError(
                "Keeping the source needs labelled rows of the source language, and there are"
                " none; give them with source=..., or set hold, replay, ewc and kl to 0."
            )
        keeping.rows = encode(fisher_rows(task, source))
        keeping.replayed = encode(balanced_sample(source, config.replay, task.labels, config.seed))
        if config.needs_fisher:
            keeping.fisher = SourceFisher.of(model, keeping.rows)
        return keeping

    def begin(self, hf: nn.Module, trainable: Trainable, progress: Progress):
        """Take what is needed of the checkpoint, before the first step and before a checkpoint of
        the run is loaded. progress(done, rows): of the Fisher information.
        """
        config, relative = self.config, None
        if self.fisher:
            information = self.fisher.measure(hf, trainable, config.lora, progress)
            relative = relative_fisher(information)
        if config.hold or config.l2:
            self.callbacks.append(SourceHold(hf, relative if config.hold else {}, config))
        if config.ewc:
            self.terms.append(QuadraticTerm(hf, relative, config.ewc))
        if config.kl:
            prompts = [ids for ids, _ in self.rows]
            self.terms.append(DivergenceTerm(self.model, hf, prompts, self.tokens, config))
