"""What a scoring pass will cost: operations and memory from the shapes, seconds from a calibration
of about one second.

Operations are multiplications and additions of matrix products. The calibration runs one batch of
the very pass that is asked about through a middle layer, so that its rate holds what a pass does
beside multiplying. Estimates, not promises: within a factor of 1.5 on a machine that does nothing
else.
"""

import statistics
import time
from dataclasses import asdict, dataclass, replace

import torch

from ctsft.attribution.cdt import Walk
from ctsft.attribution.methods import METHODS, Job
from ctsft.attribution.scores import ScoreConfig
from ctsft.model import memory_plan
from ctsft.model.batching import Batch, batches
from ctsft.model.footprint import Shape
from ctsft.model.forward import record
from ctsft.model.loading import as_model
from ctsft.model.memory_plan import Plan, Workload
from ctsft.model.model import Model
from ctsft.model.process_memory import limited_memory, memory_in_use
from ctsft.utils import units
from ctsft.utils.units import duration_text

SECONDS = 1.0  # of calibration


@dataclass(frozen=True)
class Estimate:
    """`operations` of matrix products, `seconds`, and `memory`: bytes the process holds at its peak
    (an accelerator's, where it runs there).
    """

    method: str
    examples: int
    tokens: int
    operations: float
    seconds: float
    memory: int
    rate: float  # operations a second, calibrated or given

    def text(self) -> str:
        return (
            f"estimates for {self.method} on {self.examples} texts, {self.tokens} tokens:"
            f" {self.operations:.3g} floating-point operations, {duration_text(self.seconds)} at"
            f" {self.rate / 1e9:.3g} GFLOP/s, {units.bytes_text(self.memory)} of memory at the peak"
        )

    def row(self) -> dict:
        return asdict(self) | {"estimate": True}


def forward_operations(shape: Shape, pos: int) -> int:
    """Of a plain pass over one text, its readout's logits included."""
    return shape.n_layers * shape.operations(pos, pos) + 2 * shape.d_model * shape.vocab


def source_operations(shape: Shape, pos: int, layer: int) -> int:
    """Of CD-T from one head of a layer to the end, for one text: the last block at the readout
    only.
    """
    last, mlp = shape.n_layers - 1, ("up", "down", "gate")
    queries = 1 if layer == last else pos
    first = 2 * queries * shape.d_head * shape.d_model + shape.operations(
        queries, pos, queries, mlp
    )
    return (
        first
        + max(0, last - layer - 1) * shape.operations(pos, pos)
        + (layer < last) * shape.operations(pos, pos, 1)
    )


def operations(shape: Shape, lengths: list[int], method: str = "cdt", steps: int = 5) -> float:
    """Of a whole pass over texts of these lengths, every head scored."""
    total = 0.0
    for pos in lengths:
        forward = forward_operations(shape, pos)
        if method == "cdt":
            total += 2 * forward + shape.n_heads * sum(
                source_operations(shape, pos, layer) for layer in range(shape.n_layers)
            )
        elif method == "ablation":
            total += forward * (1 + shape.n_heads * shape.n_layers)
        else:
            total += 3 * forward * (1 if method == "atp" else steps)
    return total


def estimate_cost(model, encoded: list[list[int]], method: str = "cdt", **config) -> Estimate:
    """For texts given as token ids; `config` are the fields of `ScoreConfig`. Takes about a second.

    Raises UserError when `max_memory` cannot hold one head of one text.
    """
    model, settings = as_model(model), ScoreConfig(**config)
    shape, lengths = Shape.of(model), [len(ids) for ids in encoded]
    plan = memory_plan.make_plan(
        model,
        Workload(method, max(lengths), len(encoded), settings.rules == "symmetric"),
        settings.batch_tokens,
        settings.max_memory,
    )
    before = memory_in_use(model.device)
    packed = sorted(batches(model, encoded, plan.tokens), key=lambda batch: batch.ids.numel())
    some = {at: packed[at] for at in (len(packed) // 4, len(packed) // 2, len(packed) - 1)}.values()
    with limited_memory(settings.max_memory, model.device):
        rate = statistics.harmonic_mean(
            [calibrated(model, shape, batch, method, settings, plan) for batch in some]
        )
    total = operations(shape, lengths, method, settings.steps)
    peak = min(before + plan.memory + memory_plan.MEMORY_MARGIN // 2, settings.max_memory or 2**63)
    return Estimate(method, len(encoded), sum(lengths), total, total / rate, peak, rate)


@torch.no_grad()
def calibrated(
    model: Model, shape: Shape, batch: Batch, method: str, settings: ScoreConfig, plan: Plan
) -> float:
    """Operations a second on one batch of the pass."""
    texts, pos = batch.ids.shape
    mu = torch.zeros(
        model.n_layers, model.n_heads, model.d_head, device=model.device, dtype=model.dtype
    )
    gold = torch.ones(texts, 2, device=model.device, dtype=model.dtype)
    job = Job(model, batch, [0, 1], gold, mu, settings, plan)
    if method == "cdt":
        walk, layer = (
            Walk(model, record(model, batch, lean=True), True, settings.attention, settings.rules),
            model.n_layers // 2,
        )
        heads = next(job.chunks(layer))
        return timed(
            lambda: walk.to_logits(layer, heads, mu[layer, heads], job.tokens),
            texts * len(heads) * source_operations(shape, pos, layer),
            model.device,
        )
    if method == "ablation":  # some heads of one layer
        layer = model.n_layers // 2
        heads = next(job.chunks(layer))
        job = replace(job, wanted={layer: heads})
        return timed(
            lambda: list(METHODS[method].run(job)),
            texts * (1 + len(heads)) * forward_operations(shape, pos),
            model.device,
        )
    return timed(
        lambda: list(METHODS[method].run(job)),
        operations(shape, [pos] * texts, method, settings.steps),
        model.device,
    )


def timed(work, done: float, device: torch.device) -> float:
    """Operations a second, from the median of as many calls as a third of a second holds, after one
    that does not count.
    """
    work()
    times, began = [], time.perf_counter()
    while not times or time.perf_counter() - began < SECONDS / 3:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return done / statistics.median(times)


def estimate_shape(
    shape: Shape,
    n_params: int,
    lengths: list[int],
    gflops: float,
    method: str = "cdt",
    device: str = "cuda",
) -> Estimate:
    """For a model that is not here, at a rate that is given: `gflops` of the device on matrix
    products, with what stands around them.
    """
    total, pos = operations(shape, lengths, method), max(lengths)
    plan = next(
        memory_plan.candidate_plans(
            shape, Workload(method, pos, len(lengths)), memory_plan.fast_streams(shape, device)
        )
    )
    memory = n_params * shape.itemsize + plan.memory + memory_plan.MEMORY_MARGIN
    return Estimate(
        method, len(lengths), sum(lengths), total, total / (gflops * 1e9), memory, gflops * 1e9
    )
