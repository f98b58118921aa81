"""Texts of nearly equal length in padded batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Batch:
    """Texts of nearly equal length, padded on the right."""

    index: list[int]  # which rows of the list that was packed
    ids: torch.Tensor  # [batch, pos]
    lengths: torch.Tensor  # [batch]
    reads_first: bool = False  # the readout is the first position (encoders)

    @property
    def real(self) -> torch.Tensor:  # [batch, pos] bool
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]

    @property
    def readout(self) -> torch.Tensor:
        # [batch]: the last real position, or the first
        return torch.zeros_like(self.lengths) if self.reads_first else self.lengths - 1


def pack(
    encoded: list[list[int]],
    device,
    batch_tokens: int = BATCH_TOKENS,
    padding: float = 0.05,
    reads_first: bool = False,
) -> Iterator[Batch]:
    """Batches of at most `batch_tokens` tokens (one text at least) and at most that share of
    padding, shortest texts first.
    """
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    group: list[int] = []
    for i in order:
        tokens, width = sum(len(encoded[j]) for j in group) + len(encoded[i]), len(encoded[i])
        area = (len(group) + 1) * width
        if group and (area > batch_tokens or area - tokens > padding * area):
            yield pad([encoded[j] for j in group], device, group, reads_first)
            group = []
        group.append(i)
    if group:
        yield pad([encoded[j] for j in group], device, group, reads_first)


def batches(
    model, encoded: list[list[int]], batch_tokens: int = BATCH_TOKENS, padding: float = 0.05
) -> Iterator[Batch]:
    """`pack` for a model: on its device, with its readout."""
    return pack(encoded, model.device, batch_tokens, padding, model.architecture.reads_first)


def pad(
    encoded: list[list[int]], device, index: list[int] | None = None, reads_first: bool = False
) -> Batch:
    """One batch; the padding's token id is 0, which nothing reads."""
    width = max(map(len, encoded))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in encoded], device=device)
    return Batch(
        index or list(range(len(encoded))),
        ids,
        torch.tensor([len(row) for row in encoded], device=device),
        reads_first,
    )
