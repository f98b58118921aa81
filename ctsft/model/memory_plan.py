"""How much of a scoring pass is computed at a time: as much as is fast, and as fits in memory.

A pass computes token streams: one token of one text, for one source head. `streams` of them are in
flight at a time. Bytes are counted from the model's shape (`ctsft.model.footprint`), so the same
numbers bound a pass and estimate it beforehand. The bound is on the peak of the process's memory
(`ctsft.model.process_memory`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ctsft.model.batching import Batch, batches
from ctsft.model.footprint import Shape
from ctsft.model.model import Model
from ctsft.model.process_memory import free_memory, limited_memory, memory_in_use
from ctsft.utils.errors import UserError
from ctsft.utils.units import bytes_text, parse_bytes

# bytes of the widest activation at a time: beyond this, elementwise steps wait for memory
CPU_ACTIVATION = 12 * 2**20
GPU_ACTIVATION = 512 * 2**20

FORWARD_TOKENS = 4096  # tokens of a plain forward pass
MEMORY_MARGIN = 64 * 10**6  # bytes for threads' buffers and what the allocator wastes


@dataclass(frozen=True)
class Workload:
    """What a scoring pass is to compute: `texts` of at most `pos` tokens, by a method of
    `ctsft.attribution.methods`.
    """

    method: str
    pos: int
    texts: int = 10**9
    symmetric: bool = False  # cdt by the symmetric rules


@dataclass(frozen=True)
class Plan:
    """How much of a pass is computed at a time."""

    streams: int  # token streams in flight
    tokens: int  # tokens of the texts in one batch
    keep_totals: bool  # whether the totals of every block are stored, not of one at a time
    memory: int  # bytes at the peak, beside what the process used before
    pos: int  # tokens of the longest text: at least so many are in flight

    def halved(self) -> "Plan | None":
        """The plan with half as much in flight; None when less is not possible."""
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


def make_plan(
    model: Model,
    workload: Workload,
    batch_tokens: int | None = None,
    max_memory: int | None = None,
) -> Plan:
    """The fastest plan that fits in `max_memory` bytes (default: in 80 % of the free memory).
    `batch_tokens`: token streams in flight, instead of a number that is fast.

    Raises UserError when one head of one text does not fit, and says how much memory would do.
    """
    shape = Shape.of(model)
    used = memory_in_use(model.device)
    room = max_memory - used if max_memory else int(0.8 * free_memory(model.device))
    room -= MEMORY_MARGIN
    streams = batch_tokens or fast_streams(shape, model.device.type)
    for plan in candidate_plans(shape, workload, streams, exact=batch_tokens is not None):
        if plan.memory <= room:
            return plan
    raise not_enough_memory(max_memory, used + MEMORY_MARGIN + plan.memory, workload.pos)


def not_enough_memory(max_memory: int | None, need: int, pos: int) -> UserError:
    limit = bytes_text(max_memory) if max_memory else "The free memory"
    return UserError(
        f"{limit} is not enough: the model and one text of {pos} tokens need"
        f" {bytes_text(1.02 * need)}; allow more, shorten the texts, or use a smaller model."
    )


def fast_streams(shape: Shape, device: str) -> int:
    """Token streams in flight that are fast on a type of device."""
    activation = GPU_ACTIVATION if device == "cuda" else CPU_ACTIVATION
    return max(256, activation // (shape.widest * shape.itemsize))


def candidate_plans(
    shape: Shape, workload: Workload, streams: int, exact: bool = False
) -> Iterator[Plan]:
    """Plans from the fastest to the smallest, which computes one head of one text at a time.
    `exact`: the user set `streams`.
    """
    pos, method = workload.pos, workload.method
    keep_options = (True, False) if method == "cdt" else (False,)
    while True:
        streams = max(streams, pos)
        texts = min(max(1, tokens_per_batch(shape, method, streams, exact) // pos), workload.texts)
        tokens = texts * pos
        for keep_totals in keep_options:
            memory = peak_memory(shape, workload, streams, tokens, keep_totals)
            yield Plan(streams, tokens, keep_totals, memory, pos)
        if streams <= pos:
            return
        streams //= 2


def tokens_per_batch(shape: Shape, method: str, streams: int, exact: bool) -> int:
    """Tokens of one batch, such that a chunk of its heads makes up the streams in flight."""
    if method == "cdt":
        return streams // (shape.n_heads if exact else 4)
    if method == "ablation":
        return streams // shape.n_heads
    # gradient methods score every head of a batch in one pass
    return streams if exact else min(streams, FORWARD_TOKENS)


def peak_memory(
    shape: Shape, workload: Workload, streams: int, tokens: int, keep_totals: bool
) -> int:
    """Bytes at the peak of a pass."""
    pos, method = workload.pos, workload.method
    in_flight = chunk_size(shape.n_heads, streams, tokens) * tokens
    if method == "ablation":
        return (in_flight + tokens) * shape.forward_bytes(pos)
    if method != "cdt":
        return tokens * shape.backward_bytes(pos, path=method in ("ig", "learned"))
    blocks = max(1, shape.n_layers - 1) if keep_totals else 1
    propagation = in_flight * shape.stream_bytes(pos, workload.symmetric)
    propagation += tokens * blocks * shape.totals_bytes()
    recording = tokens * shape.forward_bytes(pos)
    return tokens * shape.trace_bytes(pos) + max(recording, propagation)


def chunk_size(n_heads: int, streams: int, tokens: int) -> int:
    """Heads at a time for a batch of `tokens`: as many as `streams` allows, in chunks of nearly the
    same size.
    """
    if not n_heads:
        return 1
    most = max(1, streams // tokens)
    chunks = -(-n_heads // most)  # rounded up
    return -(-n_heads // chunks)


def forward_tokens(model: Model, pos: int, max_memory: int | str | None = None) -> int:
    """Tokens of one plain forward pass over texts of at most `pos` tokens.

    Raises UserError when `max_memory` (bytes, or text such as "4GB") cannot hold one text.
    """
    shape = Shape.of(model)
    max_memory = parse_bytes(max_memory)
    fast = max(pos, min(FORWARD_TOKENS, 2 * fast_streams(shape, model.device.type)))
    if max_memory is None:
        return fast
    used = memory_in_use(model.device)
    per_token = shape.forward_bytes(pos)
    room = max_memory - used - MEMORY_MARGIN
    if room < pos * per_token:
        raise not_enough_memory(max_memory, used + MEMORY_MARGIN + pos * per_token, pos)
    return min(fast, room // per_token)


def forward_batches(
    model, encoded: list[list[int]], padding: float = 0.05, max_memory: int | str | None = None
) -> Iterator[Batch]:
    """Batches of texts (token ids) for plain forward passes, as large as is fast and as
    `max_memory` (bytes, or text such as "4GB") allows. At most the share `padding` of a batch is
    padding.
    """
    if not encoded:
        return
    max_memory = parse_bytes(max_memory)
    with limited_memory(max_memory, model.device):
        tokens = forward_tokens(model, max(map(len, encoded)), max_memory)
        yield from batches(model, encoded, tokens, padding)
