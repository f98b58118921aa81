"""Source rows mixed into the target rows, while the number of rows that a run reads stays the same.

The rows of both are read in one sequence of shuffles, and an epoch is the next part of it that is
as long as the target rows are many. So there are as many steps, of as many rows, as without replay.
"""

import random
from collections.abc import Iterator

from torch.utils.data import Sampler


class MixedRows(Sampler):
    """The order of one epoch after another; an epoch's depends only on its number and the seed, so
    that a resumed run reads what it would have read.

    length: rows of an epoch. total: rows of both languages together.
    """

    def __init__(self, length: int, total: int, seed: int):
        self.length, self.total, self.seed = length, total, seed
        self.epoch = 0

    def set_epoch(self, epoch: int):
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.length
        for place in range(start, start + self.length):
            shuffle, index = divmod(place, self.total)
            yield self.shuffled(shuffle)[index]

    def shuffled(self, number: int) -> list[int]:
        """The numbers of all rows, in the order of that shuffle."""
        return random.Random(f"{self.seed} {number}").sample(range(self.total), self.total)
