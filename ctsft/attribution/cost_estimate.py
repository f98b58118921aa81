"""What a scoring pass will cost: operations and memory from the model's shapes, seconds from a
calibration of about one second.

Operations are multiplications and additions of matrix products. The calibration runs some batches
of the same pass through a middle layer, so its rate includes what a pass does besides multiplying.
These are estimates: within a factor of 1.5 on a machine that does nothing else.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch

from ctsft.attribution.cdt import Propagation
from ctsft.attribution.methods import METHODS
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scoring_batch import ScoringBatch
from ctsft.model import memory_plan
from ctsft.model.batching import batches
from ctsft.model.footprint import Shape
from ctsft.model.forward import record
from ctsft.model.loading import as_model
from ctsft.model.memory_plan import Workload
from ctsft.model.process_memory import limited_memory, memory_in_use
from ctsft.utils.units import bytes_text, duration_text

CALIBRATION_SECONDS = 1.0 / 3  # of each calibrated batch; there are up to three


@dataclass(frozen=True)
class Estimate:
    """`operations` of matrix products, `seconds`, and `memory`: bytes that the process holds at its
    peak, on the accelerator if it runs there.
    """

    method: str
    examples: int
    tokens: int
    operations: float
    seconds: float
    memory: int
    rate: float  # operations a second, calibrated or set

    def text(self) -> str:
        return (
            f"estimates for {self.method} on {self.examples} texts, {self.tokens} tokens:"
            f" {self.operations:.3g} floating-point operations, {duration_text(self.seconds)} at"
            f" {self.rate / 1e9:.3g} GFLOP/s, {bytes_text(self.memory)} of memory at the peak"
        )

    def row(self) -> dict:
        return asdict(self) | {"estimate": True}


def forward_operations(shape: Shape, pos: int) -> int:
    """Operations of a plain pass over one text, with the logits of its readout."""
    return shape.n_layers * shape.operations(pos, pos) + 2 * shape.d_model * shape.vocab


def propagation_operations(shape: Shape, pos: int, layer: int) -> int:
    """Operations of CD-T from one head of a layer to the end, for one text; the last block at the
    readout only.
    """
    last = shape.n_layers - 1
    queries = 1 if layer == last else pos
    own_block = 2 * queries * shape.d_head * shape.d_model
    own_block += shape.operations(queries, pos, queries, ("up", "down", "gate"))
    between = max(0, last - layer - 1) * shape.operations(pos, pos)
    last_block = shape.operations(pos, pos, 1) if layer < last else 0
    return own_block + between + last_block


def pass_operations(
    shape: Shape, lengths: list[int], method: str = "cdt", steps: int = 5, passes: int = 100
) -> float:
    """Operations of a scoring pass over texts of these lengths, every head scored."""
    total = 0.0
    for pos in lengths:
        forward = forward_operations(shape, pos)
        if method == "cdt":
            total += 2 * forward + shape.n_heads * sum(
                propagation_operations(shape, pos, layer) for layer in range(shape.n_layers)
            )
        elif method == "ablation":
            total += forward * (1 + shape.n_heads * shape.n_layers)
        elif method == "learned":
            total += forward * passes
        else:
            total += 3 * forward * (1 if method == "atp" else steps)
    return total


def estimate_cost(model, encoded: list[list[int]], method: str = "cdt", **config) -> Estimate:
    """The cost of scoring texts (as token ids); `config` are the fields of `ScoreConfig`. Takes
    about a second.

    Raises UserError when `max_memory` cannot hold one head of one text.
    """
    model, settings = as_model(model), ScoreConfig(**config)
    shape, lengths = Shape.of(model), [len(ids) for ids in encoded]
    work = Workload(method, max(lengths), len(encoded), settings.rules == "symmetric")
    plan = memory_plan.make_plan(model, work, settings.batch_tokens, settings.max_memory)
    before = memory_in_use(model.device)
    packed = sorted(batches(model, encoded, plan.tokens), key=lambda batch: batch.ids.numel())
    # a small, a middle and the largest batch, each once
    numbers = dict.fromkeys((len(packed) // 4, len(packed) // 2, len(packed) - 1))
    size = (model.n_layers, model.n_heads, model.d_head)
    mu = torch.zeros(size, device=model.device, dtype=model.dtype)
    rates = []
    with limited_memory(settings.max_memory, model.device):
        for number in numbers:
            batch = packed[number]
            direction = torch.ones(len(batch.ids), 2, device=model.device, dtype=model.dtype)
            sample = ScoringBatch(model, batch, [0, 1], direction, mu, settings, plan)
            rates.append(operations_per_second(sample, shape, method))
    rate = statistics.harmonic_mean(rates)
    total = pass_operations(shape, lengths, method, settings.steps, settings.passes)
    peak = min(before + plan.memory + memory_plan.MEMORY_MARGIN // 2, settings.max_memory or 2**63)
    return Estimate(method, len(encoded), sum(lengths), total, total / rate, peak, rate)


@torch.no_grad()
def operations_per_second(batch: ScoringBatch, shape: Shape, method: str) -> float:
    """Calibration on one batch of the pass: for CD-T and mean ablation some heads of the middle
    layer, otherwise the method as it is.
    """
    texts, pos = batch.batch.ids.shape
    device, layer = batch.model.device, batch.model.n_layers // 2
    # the same forward and backward passes
    method = "ig" if method == "learned" else method
    if method == "cdt":
        config = batch.config
        trace = record(batch.model, batch.batch, lean=True)
        propagation = Propagation(batch.model, trace, True, config.attention, config.rules)
        heads = next(batch.head_chunks(layer))
        mu = batch.mu[layer, heads]
        done = texts * len(heads) * propagation_operations(shape, pos, layer)
        return rate_of(
            lambda: propagation.to_logits(layer, heads, mu, batch.label_tokens), done, device
        )
    if method == "ablation":
        heads = next(batch.head_chunks(layer))
        batch = replace(batch, heads_by_layer={layer: heads})
        done = texts * (1 + len(heads)) * forward_operations(shape, pos)
    else:
        done = pass_operations(shape, [pos] * texts, method, batch.config.steps)
    return rate_of(lambda: list(METHODS[method].run(batch)), done, device)


def rate_of(work: Callable, done: float, device: torch.device) -> float:
    """Operations a second, of `work` that does `done` of them: the median of the calls that fit
    into `CALIBRATION_SECONDS`, after one that does not count.
    """
    work()
    times, began = [], time.perf_counter()
    while not times or time.perf_counter() - began < CALIBRATION_SECONDS:
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
    """The cost for a model that is not loaded, at the rate `gflops` of the device on matrix
    products and what surrounds them.
    """
    total, rate = pass_operations(shape, lengths, method), gflops * 1e9
    work = Workload(method, max(lengths), len(lengths))
    streams = memory_plan.fast_streams(shape, device)
    plan = next(memory_plan.candidate_plans(shape, work, streams))
    memory = n_params * shape.itemsize + plan.memory + memory_plan.MEMORY_MARGIN
    return Estimate(method, len(lengths), sum(lengths), total, total / rate, memory, rate)
