"""What a scoring pass will cost: operations and memory from the shapes, seconds from a calibration of about one second.

Operations are multiplications and additions of matrix products. The calibration times the parts of the very pass that is asked about
on its own batches, through two blocks of the model; blocks are alike, so the whole is counted from these parts. A model that is
not here is calibrated by two blocks of its shape with random numbers, or not at all where a rate is given. Estimates, not promises: what
else runs on the machine is not known.
"""
import copy
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import psutil
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from ctsft import planning
from ctsft.decompose import Walk
from ctsft.errors import UserError
from ctsft.loading import as_model, choose_device
from ctsft.methods import METHODS
from ctsft.models import Model
from ctsft.planning import Plan, Work
from ctsft.scores import ScoreConfig
from ctsft.shapes import Shape
from ctsft.trace import ATTENTION, Batch, batches, ended, pad, readout_logits, record, tapped

BLOCKS = 2                                 # of the model, in a calibration
SECONDS = 0.25                             # for each part that is timed
OVERHEAD = 20 * 10**6                      # bytes beside tensors that a first pass was seen to take


@dataclass(frozen=True)
class Estimate:
    """`operations` of matrix products, `seconds`, and `memory`: bytes the process holds at its peak (an accelerator's, where it runs there)."""
    method: str
    examples: int
    tokens: int
    operations: float
    seconds: float
    memory: int
    rate: float                            # operations a second: calibrated, all that stands around them included, or given
    calibrated: bool = True

    def text(self) -> str:
        how = "measured here" if self.calibrated else "an assumed rate"
        return (f"Estimates for {self.method} on {self.examples} texts, {self.tokens} tokens: {self.operations:.3g} floating-point operations, "
                f"{time_words(self.seconds)} at {self.rate / 1e9:.3g} GFLOP/s ({how}), {planning.words(self.memory)} of memory at the peak")

    def row(self) -> dict:
        return asdict(self) | {"estimate": True}


def time_words(seconds: float) -> str:
    """ "42 s", "3.1 min", "2.5 h"."""
    return next(f"{seconds / size:.{0 if size == 1 and seconds >= 10 else 1}f} {unit}" for size, unit in ((3600, "h"), (60, "min"), (1, "s"))
                if seconds >= size or size == 1)


# ---- operations ------------------------------------------------------------------------------------------------------

def forward_operations(shape: Shape, pos: int) -> int:
    """Of a plain pass over one text, its readout's logits included."""
    return shape.n_layers * shape.operations(pos, pos) + 2 * shape.d_model * shape.vocab


def source_operations(shape: Shape, pos: int, layer: int, last: int | None = None) -> int:
    """Of CD-T from one head of a layer to the end, or to the heads of layer `last`, for one text: the end at the readout only."""
    last, mlp = shape.n_layers - 1 if last is None else last, ("up", "down", "gate")
    queries = 1 if layer == shape.n_layers - 1 else pos
    first = 2 * queries * shape.d_head * shape.d_model + shape.operations(queries, pos, queries, mlp)
    return first + max(0, last - layer - 1) * shape.operations(pos, pos) + (layer < last) * shape.operations(pos, pos, 1)


def operations(shape: Shape, lengths: Sequence[int], method: str = "cdt", steps: int = 5, last: int | None = None) -> float:
    """Of a whole pass over texts of these lengths, every head scored (for targets: every head in front of layer `last`)."""
    total, sources = 0.0, range(shape.n_layers if last is None else last)
    for pos in lengths:
        forward = forward_operations(shape, pos)
        if method == "cdt":
            total += 2 * forward + shape.n_heads * sum(source_operations(shape, pos, layer, last) for layer in sources)
        elif method == "ablation":
            total += forward * (1 + shape.n_heads * shape.n_layers)
        else:
            total += 2 * forward * (steps if method == "ig" else 1)              # no gradient of a weight is taken
    return total


# ---- the whole -------------------------------------------------------------------------------------------------------

def estimate_cost(model, texts: Sequence[int | Sequence[int]], method: str = "cdt", gflops: float | None = None, device: str = "auto",
                  **config) -> Estimate:
    """For texts given as their token ids or numbers of tokens; `config` are the fields of `ScoreConfig`. An adaptive pass takes no longer.

    model: loaded, a path, or on the meta device (see `loading.load_shape`). A meta-device model is calibrated on `device` by blocks of its
    shape, or with `gflops` (10^9 operations a second) taken to run at that rate on a device of that type.
    Raises UserError when `max_memory` cannot hold one head of one text, and when blocks of the shape do not fit.
    """
    model, settings = as_model(model), ScoreConfig(**config)
    if method not in METHODS:
        raise UserError(f"{method!r} is not a scoring method; choose from {', '.join(METHODS)}.")
    lengths = [text if isinstance(text, int) else len(text) for text in texts]
    here, kind = model.device.type != "meta", device if device != "auto" else choose_device(device).type
    shape = Shape.of(model, model.device.type if here else kind)
    work = Work(method, max(lengths), len(lengths), settings.rules == "symmetric")
    if here:
        plan, before = planning.make(model, work, settings.batch_tokens, settings.max_memory), planning.held(model.device)
    else:
        plan = next(planning.candidates(shape, work, settings.batch_tokens or planning.in_flight(shape, kind), settings.batch_tokens is not None))
        before = model.n_params * shape.itemsize + (0 if kind == "cuda" else planning.held(torch.device("cpu")))
    last = max(layer for layer, _ in settings.targets) if settings.targets else None
    total = operations(shape, lengths, method, settings.steps, last)
    seconds = total / (gflops * 1e9) if gflops else calibrated(model if here else shallow(model, device), shape, lengths, plan, method, settings)
    memory = min(before + plan.memory + OVERHEAD, settings.max_memory or 2**63)
    return Estimate(method, len(lengths), sum(lengths), total, seconds, memory, total / seconds, not gflops)


def shallow(model: Model, device: str = "auto") -> Model:
    """Blocks of a meta-device model's shape with random numbers, and a small vocabulary."""
    config, size = copy.deepcopy(model.hf.config), min(BLOCKS, model.n_layers)
    needed, free = size * Shape.of(model).weights(), psutil.virtual_memory().available
    if needed > 0.8 * free:
        raise UserError(f"{size} blocks of {model.name or 'this model'} need {planning.words(needed)} to be timed, and {planning.words(free)} are free; "
                        f"give the rate of the device it is to run on instead (gflops).")
    config.num_hidden_layers, config.vocab_size = size, min(config.vocab_size, 1024)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:size]
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, name, None if model.classes is None else min(getattr(config, name, None) or 0, 1))
    auto = AutoModelForCausalLM if model.classes is None else AutoModelForSequenceClassification
    hf = auto.from_config(config, attn_implementation=ATTENTION).to(choose_device(device), model.dtype).eval()
    return Model(hf, None, model.name)


# ---- calibration -----------------------------------------------------------------------------------------------------

@torch.no_grad()
def calibrated(model: Model, shape: Shape, lengths: list[int], plan: Plan, method: str, settings: ScoreConfig) -> float:
    """Seconds of a whole pass of `shape`, counted from the parts of one batch; `model` has blocks of that shape."""
    packed = list(batches(model, [[1 + i % 7 for i in range(pos)] for pos in lengths], plan.tokens))
    work = {id(batch): batch.ids.numel() for batch in packed}
    middle = sorted(packed, key=lambda batch: work[id(batch)])[len(packed) // 2]
    size = {id(batch): planning.chunk(shape.n_heads, plan.streams, work[id(batch)]) for batch in packed}
    parts = PARTS.get(method, gradients)(first_blocks(model), middle, size[id(middle)], plan, settings)
    rate = shape.operations(middle.ids.numel(), middle.ids.shape[1]) / parts["forward"]
    total = 0.0
    for batch in packed:
        tokens, heads = work[id(batch)], size[id(batch)]
        share, streams = tokens / work[id(middle)], tokens * heads / (work[id(middle)] * size[id(middle)])
        forward = shape.n_layers * parts["forward"] * share + 2 * len(batch.ids) * shape.d_model * shape.vocab / rate
        chunks = -(-shape.n_heads // heads)
        if method == "cdt":
            total += forward + share * parts["totals"] * (shape.n_layers if plan.keep else 0)
            last = max(layer for layer, _ in settings.targets) if settings.targets else shape.n_layers - 1
            again = share * parts["totals"] * (0 if plan.keep else 1)
            for layer in range(last + (not settings.targets)):
                blocks = max(0, last - layer - 1)
                total += chunks * (streams * ((parts["source"] + parts["last"] if layer < last else parts["last"]) + blocks * parts["block"])
                                   + (blocks + 2) * again)
        elif method == "ablation":
            total += forward + shape.n_layers * chunks * heads * forward
        else:
            passes = settings.steps if method == "ig" else 1
            total += passes * (shape.n_layers * parts["gradient"] * share + 2 * (forward - shape.n_layers * parts["forward"] * share))
    return total


def first_blocks(model: Model) -> Model:
    """The same model, its first blocks alone; a pass of it is to end behind them (`ended`)."""
    few = copy.copy(model)
    few.n_layers = min(BLOCKS, model.n_layers)
    few.architecture = replace(model.architecture, blocks=model.blocks[:few.n_layers])
    few.rest = model.blocks[few.n_layers].module if few.n_layers < model.n_layers else None
    return few


def decomposed(few: Model, batch: Batch, heads: int, plan: Plan, settings: ScoreConfig) -> dict[str, float]:
    trace, end = forward(few, batch)
    walk, chosen, device = Walk(few, trace, settings.attention, True, settings.rules), list(range(heads)), few.device
    mu = torch.zeros(heads, few.d_head, device=device, dtype=few.dtype)
    final = few.n_layers - 1
    rel = walk.source(0, chosen, mu)
    return {"forward": end, "totals": timed(lambda: walk.read(0), device),
            "source": timed(lambda: walk.source(0, chosen, mu), device),
            "block": timed(lambda: walk.block(0, rel), device) if final else 0.0,
            "last": timed(lambda: walk.logits(walk.block(final, rel) if final else rel, [0, 1, 2]), device)}


def forward(few: Model, batch: Batch):
    """A trace of the first blocks, and the seconds of one."""
    def run():
        with ended(few.rest):
            readout_logits(few.hf, batch)
    return record(few, batch, lean=True, end=few.rest), timed(run, few.device) / few.n_layers


def ablated(few: Model, batch: Batch, heads: int, plan: Plan, settings: ScoreConfig) -> dict[str, float]:
    many = replace(batch, ids=batch.ids.repeat(heads, 1), lengths=batch.lengths.repeat(heads))
    return {"forward": forward(few, many)[1] / heads}


def gradients(few: Model, batch: Batch, heads: int, plan: Plan, settings: ScoreConfig) -> dict[str, float]:
    def run():
        zs = []

        def watch(call, z):
            zs.append(z if z.requires_grad else z.detach().requires_grad_())
            return zs[-1]
        with torch.enable_grad(), tapped(watch):
            out = None
            with ended(few.rest) as found:
                out = readout_logits(few.hf, batch)
            torch.autograd.grad((out if out is not None else found[0]).sum(), zs)
    return {"forward": forward(few, batch)[1], "gradient": timed(run, few.device) / few.n_layers}


PARTS = {"cdt": decomposed, "ablation": ablated}


def timed(work, device: torch.device) -> float:
    """Seconds of a call: the median of as many as fit into a quarter of a second, behind one that counts only if it takes longer."""
    times, began = [], time.perf_counter()
    while len(times) < 2 or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
        if times[0] > SECONDS:
            return times[0]
    return statistics.median(times[1:])
