"""Terms of the loss that keep the source: the controls of holding (`source_hold`).

    ewc    + ewc / 2 * sum of (F_i / mean F) * d_i ** 2,  d = w - w0 (arXiv 1612.00796)
    kl     + kl * KL(p_w0 || p_w), the mean over source texts, without their labels; p is over the
           label tokens at the readout

Unlike the pull of `source_hold` they are part of the gradient, so clipping and Adam act on them. A
step's term is counted once, however the step's rows are split into batches and over processes.
"""

import random

import torch
from torch import nn

from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.model.model import Model
from ctsft.tuning.checkpoints import trainable_parameters
from ctsft.tuning.config import TuneConfig
from ctsft.utils import distributed


class QuadraticTerm:
    """The term of elastic weight consolidation. Make it before the first step: w0 is taken then.

    fisher: `source_hold.relative_fisher` of the trainable parameters of hf. strength: `ewc`.
    """

    def __init__(self, hf: nn.Module, fisher: dict[str, torch.Tensor], strength: float):
        self.strength = strength
        self.parts = [
            (value, value.detach().clone(), fisher[name])
            for name, value in trainable_parameters(hf)
        ]

    def __call__(self, step: int, rows: int) -> torch.Tensor:
        """The term of one step. step, rows: not used."""
        parts = [(fisher * (value - start).square()).sum() for value, start, fisher in self.parts]
        return self.strength / 2 * torch.stack(parts).sum()


class DivergenceTerm:
    """The divergence from the checkpoint's answers on source texts. Make it before the first step.

    prompts: token ids of the source texts; each batch reads as many of them as it has target rows,
    drawn again with the seed and the step. tokens: of the labels.
    """

    def __init__(
        self,
        model: Model,
        hf: nn.Module,
        prompts: list[list[int]],
        tokens: list[int],
        config: TuneConfig,
    ):
        self.model, self.hf, self.config = model, hf, config
        self.prompts, self.tokens = prompts, tokens
        self.step, self.batch = -1, 0  # the batch's number within its step
        training = hf.training
        hf.eval()
        with torch.no_grad():
            # one text at a time, so that an answer does not depend on its neighbours
            before = [self.log_shares([ids]) for ids in prompts]
        hf.train(training)
        self.before = torch.cat(before)  # [text, label]

    def log_shares(self, prompts: list[list[int]]) -> torch.Tensor:
        """Log probabilities over the label tokens, [text, label], in float32 or wider."""
        reads_first = self.model.architecture.reads_first
        batch = pad(prompts, self.model.device, reads_first=reads_first)
        logits = readout_logits(self.hf, batch)[:, self.tokens]
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)

    def drawn(self, step: int, rows: int) -> list[int]:
        """The texts of a batch with that many rows, which is the next one of its step."""
        self.batch = self.batch + 1 if step == self.step else 0
        self.step = step
        draw = random.Random(f"{self.config.seed} {step} {self.batch}")
        return draw.sample(range(len(self.prompts)), min(rows, len(self.prompts)))

    def __call__(self, step: int, rows: int) -> torch.Tensor:
        """The term of one batch of step `step` (0 for the first) with `rows` target rows."""
        texts = self.drawn(step, rows)
        share = distributed.local_share(texts)
        if not share:
            return torch.zeros((), device=self.model.device)
        after = self.log_shares([self.prompts[text] for text in share])
        before = self.before[share]
        total = (before.exp() * (before - after)).sum()
        # gradients are averaged over processes; their sum is needed
        return self.config.kl * distributed.PROCESSES * total / len(texts)
