"""Several processes on one scoring pass: `torchrun --nproc-per-node N -m ctsft score ...`,
accelerate underneath.

Every process loads the model and takes its share of the work; sums are exchanged at the end, so
each of them returns the same scores. Alone, every function here is free. On CPUs the processes talk
over gloo, on GPUs over NCCL.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# set by torchrun and `accelerate launch`
COUNT, RANK = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))


def alone() -> bool:
    return COUNT == 1


def state(device: torch.device):
    from accelerate import PartialState

    return PartialState(cpu=device.type == "cpu")


def mine(items: Sequence) -> list:
    """This process's share: every COUNT-th item."""
    return list(items)[RANK::COUNT]


def summed(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The sum over processes, on the CPU."""
    if alone():
        return values
    import torch

    state(device)
    values = values.to(device)
    torch.distributed.all_reduce(values)
    return values.cpu()


def merged(out: torch.Tensor, device: torch.device) -> torch.Tensor:
    """What the processes filled in, each its own places; NaN stays where none did."""
    if alone():
        return out
    import torch

    found = summed((~out.isnan()).to(out.dtype), device)
    return torch.where(
        found > 0, summed(out.nan_to_num(0.0), device) / found.clamp(min=1), torch.nan
    )


def agreed(yes: bool, device: torch.device) -> bool:
    """Whether all processes say yes."""
    if alone():
        return yes
    import torch

    return summed(torch.tensor([float(not yes)]), device).item() == 0


def told(value, device: torch.device):
    """The first process's value, in every process; anything that can be pickled."""
    if alone():
        return value
    from accelerate.utils import broadcast_object_list

    state(device)
    return broadcast_object_list([value])[0]
