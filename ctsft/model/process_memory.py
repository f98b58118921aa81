"""The memory that this process uses, and a bound on what its allocator holds back.

On a CPU memory is the process's resident memory, on CUDA what is allocated on the device.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

# parameters of mallopt, from glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

# bytes: the largest freed block that glibc may hold back for later use
LARGEST_REUSED_BLOCK = 32 * 2**20

# bytes of freed memory that a pass without a bound may hold back for its next steps
REUSED_MEMORY = 256 * 2**20


def memory_in_use(device: torch.device) -> int:
    """Bytes that the process uses now: resident memory, or allocated on the accelerator."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the machine, or on the accelerator."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


@contextmanager
def limited_memory(max_memory: int | None, device: torch.device) -> Iterator[None]:
    """Inside the `with`, freed large blocks go back to the system when `max_memory` (bytes) is set,
    so that the process on a CPU holds only what it uses. Without a bound the process holds them
    back: to request them again at each step takes time.

    By default glibc holds back freed blocks of up to 32 MB, which can double the resident memory.
    Does nothing on an accelerator, or elsewhere than on Linux with glibc.
    """
    libc = ctypes.CDLL(None) if device.type == "cpu" and sys.platform == "linux" else None
    if not hasattr(libc, "malloc_trim"):
        yield
        return
    block = LARGEST_REUSED_BLOCK
    unused = REUSED_MEMORY
    if max_memory:
        libc.malloc_trim(0)
        room = max_memory - memory_in_use(device)
        block = min(max(room // 64, 2**20), LARGEST_REUSED_BLOCK)
        unused = 2 * block
    try:
        libc.mallopt(M_MMAP_THRESHOLD, block)
        libc.mallopt(M_TRIM_THRESHOLD, unused)
        yield
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_REUSED_BLOCK)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * LARGEST_REUSED_BLOCK)
        if max_memory:
            libc.malloc_trim(0)
