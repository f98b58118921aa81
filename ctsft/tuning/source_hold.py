"""Holding the source: after each step of the optimiser, every trained parameter is pulled back to
the checkpoint, more strongly where the source needs it.

    d_i <- d_i / (1 + lr_t * c * F_i / mean F),    d = w - w0,    c = hold / peak learning rate

lr_t is the step's learning rate, F the source's Fisher information (`source_fisher`), and the mean
is over everything that is trained. This is elastic weight consolidation (arXiv 1612.00796) as a
proximal step behind the optimiser's, as AdamW decouples weight decay, and not a term of the loss:
Adam rescales the gradient of a stiff term, and clipping cuts it. `l2` is the same pull with every
F_i at its mean; where both are set, their strengths add up.
"""

from collections.abc import Iterator

import torch
from torch import nn
from transformers import TrainerCallback

from ctsft.tuning.checkpoints import trainable_parameters
from ctsft.tuning.config import TuneConfig

CHUNK = 2**18  # numbers that are pulled back at once, so that temporaries stay small


def relative_fisher(information: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """F / mean F, where the mean is over all numbers of all parameters."""
    total = sum(value.double().sum().item() for value in information.values())
    mean = total / sum(value.numel() for value in information.values())
    return {name: value / mean for name, value in information.items()}


class SourceHold(TrainerCallback):
    """The pull, as a callback of the Trainer. Make it before the first step, and before a
    checkpoint is loaded: the parameters' values are w0 then.

    fisher: `relative_fisher` of the trainable parameters of hf; {} without hold.
    """

    def __init__(self, hf: nn.Module, fisher: dict[str, torch.Tensor], config: TuneConfig):
        self.config = config
        self.held = [
            (value, value.detach().clone(), fisher.get(name))
            for name, value in trainable_parameters(hf)
        ]

    def on_optimizer_step(self, args, state, control, optimizer=None, **_):
        # a gradient scaler may have skipped the step; then there is nothing to pull back
        if not optimizer.step_was_skipped:
            self.pull(optimizer.param_groups[0]["lr"] / self.config.learning_rate)

    @torch.no_grad()
    def pull(self, share: float):
        """One pull. share: the step's learning rate as a share of the peak learning rate."""
        hold, l2 = self.config.hold * share, self.config.l2 * share
        for parameter, start, fisher in self.held:
            if fisher is None:
                parameter.lerp_(start, l2 / (1 + l2))
                continue
            for value, origin, information in in_chunks(parameter, start, fisher):
                strength = information * hold + l2
                # d / (1 + s) = d - d * s / (1 + s), which leaves d as it is where s is 0
                strength.div_(strength + 1)
                exact = torch.promote_types(value.dtype, strength.dtype)
                value.copy_(torch.lerp(value.to(exact), origin.to(exact), strength.to(exact)))


def in_chunks(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Views of tensors of one shape, about `CHUNK` numbers at a time."""
    tensors = tuple(map(torch.atleast_1d, tensors))
    rows = max(1, CHUNK * len(tensors[0]) // max(1, tensors[0].numel()))
    return zip(*(value.split(rows) for value in tensors), strict=True)


def held_bytes(trained: int, itemsize: int) -> int:
    """Memory that holding takes beside the training: the checkpoint's values and their information.

    trained: numbers that are trained. itemsize: bytes of one in the model's format.
    """
    return trained * (itemsize + 4)
