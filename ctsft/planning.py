"""How much a scoring pass keeps in flight: token streams by what is fast, bounded by what fits in memory.

Bytes are counted from the model's shapes, so the same numbers bound a pass and estimate it beforehand.
"""
import re
from dataclasses import dataclass

import psutil
import torch

from ctsft.errors import UserError
from ctsft.models import Model

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
IN_CACHE = 8 * 2**20                       # bytes of the widest activation at a time: larger, and a CPU's elementwise steps wait for memory
ON_DEVICE = 512 * 2**20                    # the same on an accelerator
FORWARD_TOKENS = 4096                      # of a plain forward pass


def as_bytes(size: int | str | None) -> int | None:
    """Bytes from a number or words such as "4GB"; UserError for anything else."""
    if size is None or (isinstance(size, int) and size > 0):
        return size
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B)?\s*", str(size), re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise UserError(f"{size!r} is not a size of memory; write bytes, or a number and a unit such as 4GB or 512MiB.")
    return int(float(found[1]) * UNITS[(found[2] or "").upper()])


def words(size: float) -> str:
    """Bytes for people: "1.2 GB"."""
    for unit in ("GB", "MB", "kB"):
        if size >= UNITS[unit.upper()]:
            return f"{size / UNITS[unit.upper()]:.3g} {unit}"
    return f"{size:.0f} bytes"


@dataclass(frozen=True)
class Shape:
    """The sizes that work and memory depend on; `of` reads them off a model."""
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_model: int
    d_mlp: int
    gated: bool
    vocab: int
    itemsize: int = 4
    softcap: bool = False

    @classmethod
    def of(cls, model: Model) -> "Shape":
        block = model.blocks[0]
        return cls(model.n_layers, model.n_heads, model.n_kv_heads, model.d_head, model.d_model, len(block.down.weight.T), block.gate is not None,
                   len(model.architecture.head[-1 if hasattr(model.architecture.head[-1], "module") else 0].weight),
                   torch.finfo(model.dtype).bits // 8, bool(getattr(model.hf.config, "attn_logit_softcapping", None)))

    @property
    def q(self) -> int:                    # width of the queries
        return self.n_heads * self.d_head

    @property
    def kv(self) -> int:
        return self.n_kv_heads * self.d_head

    @property
    def widest(self) -> int:
        return max(self.d_mlp, self.q, self.d_model)

    def stream(self, pos: int) -> int:
        """Bytes in flight for each token of rel: the widest moment of a block."""
        attention = 4 * self.d_model + 3 * self.q + 4 * self.kv + (4 * self.n_heads * pos if self.softcap else 0)
        mlp = 4 * self.d_model + (5 if self.gated else 4) * self.d_mlp
        return max(attention, mlp) * self.itemsize

    def traced(self) -> int:
        """Bytes of the recorded pass for each token."""
        return self.n_layers * (self.d_model + 2 * self.q + 2 * self.kv) * self.itemsize

    def totals(self) -> int:
        """Bytes of one block's totals for each token."""
        return (7 * self.d_model + 2 * self.q + 2 * self.kv + (4 if self.gated else 3) * self.d_mlp) * self.itemsize

    def forward(self, pos: int) -> int:
        """Bytes of a plain forward pass for each token, its logits included."""
        return (6 * self.d_model + 3 * self.d_mlp + 4 * self.q) * self.itemsize + 3 * self.vocab * self.itemsize // pos

    def backward(self, pos: int) -> int:
        """Bytes for each token of a forward pass that keeps what its backward pass needs."""
        block = 12 * self.d_model + 6 * self.q + 6 * self.kv + (6 if self.gated else 4) * self.d_mlp + 2 * self.n_heads * pos
        return self.n_layers * block * self.itemsize + self.forward(pos)


@dataclass(frozen=True)
class Plan:
    """`streams`: tokens of rel in flight; `tokens`: of the texts of one batch; `keep`: whether every block's totals are kept."""
    streams: int
    tokens: int
    keep: bool
    memory: int                            # bytes at the peak, beside what the process held before

    def halved(self) -> "Plan | None":
        """With half as much in flight; None when there is no less."""
        if self.streams <= 1:
            return None
        return Plan(self.streams // 2, max(1, min(self.tokens, self.streams // 2)), self.keep, self.memory // 2)


def held(device: torch.device) -> int:
    """Bytes the process holds now: resident memory, or what is allocated on the accelerator."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss


def free(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def in_flight(shape: Shape, device: torch.device) -> int:
    """Token streams at a time that are fast."""
    return max(256, (ON_DEVICE if device.type == "cuda" else IN_CACHE) // (shape.widest * shape.itemsize))


def cdt_memory(shape: Shape, streams: int, tokens: int, keep: bool, pos: int) -> int:
    masks = 2 * pos * pos * 4
    return streams * shape.stream(pos) + tokens * (shape.traced() + shape.totals() * (shape.n_layers if keep else 2)) + masks


def make(model: Model, method: str, pos: int, batch_tokens: int | None = None, max_memory: int | None = None) -> Plan:
    """What a pass over texts of at most `pos` tokens keeps in flight.

    Raises UserError when `max_memory` cannot hold one head of one text, and says how much would.
    """
    shape, before = Shape.of(model), held(model.device)
    room = (max_memory - before if max_memory else int(0.8 * free(model.device))) - MARGIN
    plans = candidates(shape, method, pos, batch_tokens or in_flight(shape, model.device), batch_tokens is not None)
    for plan in plans:
        if plan.memory <= room:
            return plan
    need = before + MARGIN + plan.memory
    raise UserError(f"{words(max_memory) if max_memory else 'The free memory'} is not enough: the model and one text of {pos} tokens need "
                    f"{words(need)}; allow more, shorten the texts, or take a smaller model.")


MARGIN = 64 * 10**6                        # bytes: threads' buffers, the allocator's leftovers


def candidates(shape: Shape, method: str, pos: int, streams: int, exact: bool):
    """Plans from the fastest to the smallest, the last of one head and one text."""
    while True:
        streams = max(streams, pos)
        if method == "cdt":
            tokens = max(pos, streams // (shape.n_heads if exact else 4))
            for keep in (True, False):
                yield Plan(streams, tokens, keep, cdt_memory(shape, streams, tokens, keep, pos))
        elif method == "ablation":
            yield Plan(streams, max(pos, streams // shape.n_heads), False, streams * shape.forward(pos) + 2 * pos * pos * 4)
        else:
            tokens = streams if exact else min(max(streams, pos), FORWARD_TOKENS)
            yield Plan(streams, tokens, False, tokens * shape.backward(pos) + 2 * pos * pos * 4)
        if streams <= pos:
            return
        streams //= 2
