"""What tuning left alone, verified: the parameters outside of a delta, compared bit by bit with the
checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ctsft.model.model import Model
from ctsft.tuning.delta import Delta

WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Outside:
    """parameters: how many stand outside of what was trained; identical: how many of them have the
    checkpoint's bits.
    """

    parameters: int
    identical: int

    def text(self) -> str:
        """One sentence."""
        if not self.parameters:
            return "Every parameter was trained; none is outside of what was trained."
        if self.identical == self.parameters:
            return (
                f"{self.parameters:,} parameters outside of what was trained are bit-identical to"
                " the checkpoint."
            )
        return (
            f"{self.parameters - self.identical:,} of {self.parameters:,} parameters outside of"
            " what was trained differ from the checkpoint."
        )


@torch.no_grad()
def compare_outside(delta: Delta, checkpoint: Mapping[str, torch.Tensor], tuned: Model) -> Outside:
    """Compare every number that is not part of the delta. checkpoint: the values of the tuned
    model's parameters before tuning, by name.
    """
    parameters = identical = 0
    for name, after in tuned.hf.named_parameters():
        before = checkpoint[name]
        place = delta.index(name) if name in delta.names else (0, torch.tensor([], dtype=int))
        if place is None:
            continue
        dim, inside = place
        word = WORDS[before.element_size()]
        pair = [value.detach().cpu().contiguous().view(word) for value in (before, after)]
        same = pair[0] == pair[1]
        same.index_fill_(dim, inside, False)
        identical += int(same.sum())
        parameters += same.numel() - same.numel() // same.shape[dim] * len(inside)
    return Outside(parameters, identical)
