"""One scoring pass or training run on several processes.

Start them with `torchrun --nproc-per-node N -m ctsft score ...`; Hugging Face Accelerate sets the
processes up. Every process loads the model and takes its share of the work; sums are exchanged at
the end, so that each process returns the same scores. In a single process every function here
returns at once. CPUs communicate over gloo, GPUs over NCCL.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# set by torchrun and `accelerate launch`
PROCESSES = int(os.environ.get("WORLD_SIZE", 1))
RANK = int(os.environ.get("RANK", 0))


def is_single_process() -> bool:
    return PROCESSES == 1


def connect(device: torch.device) -> None:
    """Set up the communication between the processes, once."""
    from accelerate import PartialState

    PartialState(cpu=device.type == "cpu")


def local_share(items: Sequence) -> list:
    """The share of this process: every PROCESSES-th item, from its RANK on."""
    return list(items)[RANK::PROCESSES]


def sum_over_processes(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The sum over all processes, on the CPU; same shape in every process."""
    if is_single_process():
        return values
    import torch

    connect(device)
    values = values.to(device)
    torch.distributed.all_reduce(values)
    return values.cpu()


def merge_filled(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """One tensor from all processes, each of which filled some places and left NaN in the others.
    Places filled by no process stay NaN; several values of one place are averaged.
    """
    if is_single_process():
        return values
    import torch

    counts = sum_over_processes((~values.isnan()).to(values.dtype), device)
    total = sum_over_processes(values.nan_to_num(0.0), device)
    return torch.where(counts > 0, total / counts.clamp(min=1), torch.nan)


def all_agree(yes: bool, device: torch.device) -> bool:
    """Whether `yes` is true in every process."""
    if is_single_process():
        return yes
    import torch

    return sum_over_processes(torch.tensor([float(not yes)]), device).item() == 0


def broadcast(value, device: torch.device):
    """The first process's value, in every process; anything that can be pickled."""
    if is_single_process():
        return value
    from accelerate.utils import broadcast_object_list

    connect(device)
    return broadcast_object_list([value])[0]
