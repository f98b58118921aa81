"""Texts of nearly equal length, packed into padded batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Batch:
    """Texts of nearly equal length, padded on the right."""

    index: list[int]  # the texts' positions in the list that was packed
    ids: torch.Tensor  # [batch, pos]
    lengths: torch.Tensor  # [batch]
    reads_first: bool = False  # the readout is the first position (encoders)

    @property
    def real(self) -> torch.Tensor:  # [batch, pos] bool
        """True where a position is no padding."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]

    @property
    def readout(self) -> torch.Tensor:  # [batch]
        """The last real position of each text, or the first one."""
        return torch.zeros_like(self.lengths) if self.reads_first else self.lengths - 1


def pack(
    encoded: list[list[int]],
    device,
    batch_tokens: int = BATCH_TOKENS,
    padding: float = 0.05,
    reads_first: bool = False,
) -> Iterator[Batch]:
    """Batches of at most `batch_tokens` tokens, padding included, but at least one text each;
    shortest texts first. At most the share `padding` of a batch is padding.
    """
    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row]))
    group: list[int] = []
    for row in order:
        width = len(encoded[row])  # the longest so far
        tokens = sum(len(encoded[other]) for other in group) + width
        area = (len(group) + 1) * width
        if group and (area > batch_tokens or area - tokens > padding * area):
            yield pad([encoded[other] for other in group], device, group, reads_first)
            group = []
        group.append(row)
    if group:
        yield pad([encoded[other] for other in group], device, group, reads_first)


def batches(
    model, encoded: list[list[int]], batch_tokens: int = BATCH_TOKENS, padding: float = 0.05
) -> Iterator[Batch]:
    """`pack` for a model: on its device, with its readout."""
    return pack(encoded, model.device, batch_tokens, padding, model.architecture.reads_first)


def pad(
    encoded: list[list[int]], device, index: list[int] | None = None, reads_first: bool = False
) -> Batch:
    """One batch of all these texts. Padding has token id 0, which no real position reads."""
    width = max(map(len, encoded))
    ids = [row + [0] * (width - len(row)) for row in encoded]
    return Batch(
        index or list(range(len(encoded))),
        torch.tensor(ids, device=device),
        torch.tensor([len(row) for row in encoded], device=device),
        reads_first,
    )
