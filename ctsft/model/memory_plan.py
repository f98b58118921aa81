"""How much a scoring pass keeps in flight: token streams by what is fast, bounded by what fits in
memory.

Bytes are counted from the model's shapes (`shapes`), so the same numbers bound a pass and estimate
it beforehand. The bound is on what the process holds at its peak: resident memory on a CPU,
allocated memory on CUDA.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psutil
import torch

from ctsft.model.batching import Batch, batches
from ctsft.model.footprint import Shape
from ctsft.model.model import Model
from ctsft.utils import units
from ctsft.utils.errors import UserError
from ctsft.utils.units import bytes_text, parse_bytes

# bytes of the widest activation at a time: larger, and a CPU's elementwise steps wait for memory
IN_CACHE = 8 * 2**20
ON_DEVICE = 512 * 2**20  # the same on an accelerator
FORWARD_TOKENS = 4096  # of a plain forward pass
MEMORY_MARGIN = 64 * 10**6  # bytes: threads' buffers, the allocator's leftovers

# glibc's malloc.h, and the largest block it keeps
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, LARGEST_KEPT = -1, -3, 32 * 2**20

# bytes of freed memory that a pass without a bound keeps for its next steps
KEPT = 256 * 2**20


@dataclass(frozen=True)
class Workload:
    """What a pass is asked: `texts` of at most `pos` tokens by a method of `methods.METHODS`."""

    method: str
    pos: int
    texts: int = 10**9
    symmetric: bool = False  # cdt by the symmetric rules


@dataclass(frozen=True)
class Plan:
    """`streams`: tokens of rel in flight; `tokens`: of the texts of one batch; `keep`: whether
    every block's totals are kept.
    """

    streams: int
    tokens: int
    keep_totals: bool
    # bytes at the peak, beside what the process held before
    memory: int
    # tokens of the longest text: no less can be in flight
    pos: int

    def halved(self) -> "Plan | None":
        """With half as much in flight; None when there is no less."""
        if max(self.streams, self.tokens) <= self.pos and not self.keep_totals:
            return None
        streams = max(self.pos, self.streams // 2)
        return replace(
            self,
            streams=streams,
            tokens=max(self.pos, min(self.tokens // 2, streams)),
            keep_totals=False,
            memory=self.memory // 2,
        )


def memory_in_use(device: torch.device) -> int:
    """Bytes the process holds now: resident memory, or what is allocated on the accelerator."""
    return (
        torch.cuda.memory_allocated(device)
        if device.type == "cuda"
        else psutil.Process().memory_info().rss
    )


def free_memory(device: torch.device) -> int:
    return (
        torch.cuda.mem_get_info(device)[0]
        if device.type == "cuda"
        else psutil.virtual_memory().available
    )


def fast_streams(shape: Shape, device: str) -> int:
    """Token streams at a time that are fast on a kind of device."""
    return max(
        256, (ON_DEVICE if device == "cuda" else IN_CACHE) // (shape.widest * shape.itemsize)
    )


def make_plan(
    model: Model, work: Workload, batch_tokens: int | None = None, max_memory: int | None = None
) -> Plan:
    """What a pass keeps in flight.

    Raises UserError when `max_memory` cannot hold one head of one text, and says how much would.
    """
    shape, before = Shape.of(model), memory_in_use(model.device)
    room = (
        max_memory - before if max_memory else int(0.8 * free_memory(model.device))
    ) - MEMORY_MARGIN
    for plan in candidate_plans(
        shape,
        work,
        batch_tokens or fast_streams(shape, model.device.type),
        batch_tokens is not None,
    ):
        if plan.memory <= room:
            return plan
    raise too_little(max_memory, before + MEMORY_MARGIN + plan.memory, work.pos)


def too_little(max_memory: int | None, need: int, pos: int) -> UserError:
    return UserError(
        f"{bytes_text(max_memory) if max_memory else 'The free memory'} is not enough: the model"
        f" and one text of {pos} tokens need {bytes_text(1.02 * need)}; allow more, shorten the"
        " texts, or take a smaller model."
    )


def candidate_plans(shape: Shape, work: Workload, streams: int, exact: bool = False):
    """Plans from the fastest to the smallest, the last of one head and one text. `exact`: `streams`
    is what was asked for.
    """
    pos = work.pos
    while True:
        streams = max(streams, pos)
        share = {"cdt": shape.n_heads if exact else 4, "ablation": shape.n_heads}.get(
            work.method, 1
        )
        most = (
            streams if work.method in ("cdt", "ablation") or exact else min(streams, FORWARD_TOKENS)
        )
        # of whole texts
        tokens = min(max(1, most // share // pos), work.texts) * pos
        yield from (
            Plan(streams, tokens, keep, peak_memory(shape, work, streams, tokens, keep), pos)
            for keep in (True, False)[work.method != "cdt" :]
        )
        if streams <= pos:
            return
        streams //= 2


def peak_memory(shape: Shape, work: Workload, streams: int, tokens: int, keep: bool) -> int:
    """Bytes at the peak of a pass."""
    pos, used = work.pos, chunk_size(shape.n_heads, streams, tokens) * tokens
    if work.method == "ablation":
        return (used + tokens) * shape.forward(pos)
    if work.method != "cdt":
        return tokens * shape.backward(pos, work.method == "ig")
    kept = shape.totals() * (max(1, shape.n_layers - 1) if keep else 1)
    return tokens * shape.traced(pos) + max(
        tokens * shape.forward(pos), used * shape.stream(pos, work.symmetric) + tokens * kept
    )


def chunk_size(n_heads: int, streams: int, tokens: int) -> int:
    """Heads at a time: as many as fit, in chunks of nearly one size."""
    most = max(1, streams // tokens)
    return -(-n_heads // -(-n_heads // most)) if n_heads else 1


def forward_tokens(model: Model, pos: int, max_memory: int | str | None = None) -> int:
    """Tokens of a plain forward pass over texts of at most `pos` tokens. Raises UserError when
    `max_memory` cannot hold one text.
    """
    shape, max_memory = Shape.of(model), parse_bytes(max_memory)
    fast = max(pos, min(FORWARD_TOKENS, 2 * fast_streams(shape, model.device.type)))
    if max_memory is None:
        return fast
    before, each = memory_in_use(model.device), shape.forward(pos)
    room = max_memory - before - MEMORY_MARGIN
    if room < pos * each:
        raise too_little(max_memory, before + MEMORY_MARGIN + pos * each, pos)
    return min(fast, room // each)


@contextmanager
def limited_memory(max_memory: int | None, device: torch.device) -> Iterator[None]:
    """Within, large blocks of memory go back to the system when they are freed, so that what a
    CPU's process holds is what it uses. Without a bound they stay with the process: to get them
    anew at each step costs a pass time.

    glibc keeps freed blocks of up to 32 MB for later ones, which is faster, and can double the
    resident memory. Elsewhere than on Linux with glibc nothing changes.
    """
    libc = ctypes.CDLL(None) if device.type == "cpu" and sys.platform == "linux" else None
    if not hasattr(libc, "malloc_trim"):
        yield
        return
    block, unused = LARGEST_KEPT, KEPT
    if max_memory:
        libc.malloc_trim(0)
        block = min(max((max_memory - memory_in_use(device)) // 64, 2**20), LARGEST_KEPT)
        unused = 2 * block
    try:
        libc.mallopt(M_MMAP_THRESHOLD, block)
        libc.mallopt(M_TRIM_THRESHOLD, unused)
        yield
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * LARGEST_KEPT)
        if max_memory:
            libc.malloc_trim(0)


def forward_batches(
    model, encoded: list[list[int]], padding: float = 0.05, max_memory: int | str | None = None
) -> Iterator[Batch]:
    """Batches for plain forward passes, as large as is fast, and as a bound on the process's memory
    allows (see `planning`).
    """
    if encoded:
        max_memory = units.parse_bytes(max_memory)
        with limited_memory(max_memory, model.device):
            yield from batches(
                model,
                encoded,
                forward_tokens(model, max(map(len, encoded)), max_memory),
                padding,
            )
