"""Where exact CD-T spends its time on a CPU: CPU time of every torch operation of a pass over all
heads, summed by what it is for.

    python -m benchmarks.cdt_profile [--model gpt2] [--compare ROUNDS]

One thread, and the thread's own CPU time, so that other programs on the machine change little. The
shares are of the time inside torch's operations; `calls` are operations.

`--compare` instead takes the heads of the middle layer in turn as now and by the plain path: the
MLP's elementwise steps all at once, two thirds as many streams in flight. Both give the same bits.
"""

import argparse
import sys
import time
from collections import defaultdict

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.bench_cdt import gpt2_small
from benchmarks.random_pass import LABEL_TOKENS, mean_z, random_pass, random_texts
from ctsft.attribution.cdt import Propagation
from ctsft.model import activations, memory_plan
from ctsft.model.activations import scratch
from ctsft.model.batching import pad
from ctsft.model.footprint import Shape
from ctsft.model.forward import record
from ctsft.model.loading import load_model, wrap
from ctsft.model.process_memory import limited_memory

# {function whose operation it is, innermost first: what it is for}
STEPS = {
    "tanh_gelu": "activation",
    "silu": "activation",
    "add_share": "shares of biases",
    "sign_clash": "sign clash",
    "paper_activation": "activation",
    "paper_gated": "activation",
    "paper_norm": "norms",
    "scale": "norms",
    "apply_rope": "attention",
    "mix": "attention",
    "linear": "matrix products",
    "product": "matrix products",
    "share_and_clash": "shares of biases",
    "from_heads": "a source's own block",
    "after_attention": "residual stream",
    "compute_totals": "totals and recorded pass",
    "record": "totals and recorded pass",
}
OUTER = ("compute_totals", "record")  # whatever they call belongs to them


class StepTimes(TorchDispatchMode):
    """Inside the `with`, sums each operation's CPU time and counts it, by step."""

    def __init__(self):
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        start = time.thread_time()
        result = function(*args, **(kwargs or {}))
        seconds = time.thread_time() - start
        step = step_of(sys._getframe(1))
        self.seconds[step] += seconds
        self.calls[step] += 1
        return result


def step_of(frame) -> str:
    """What the operation that `frame` called is for."""
    innermost = None
    while frame is not None:
        name = frame.f_code.co_name
        if name in OUTER:
            return STEPS[name]
        if innermost is None and name in STEPS:
            innermost = STEPS[name]
        frame = frame.f_back
    return innermost or "the rest"


def shares(times: StepTimes) -> list[tuple[str, float, int]]:
    """(step, share of the time, calls), the largest first."""
    total = sum(times.seconds.values())
    order = sorted(times.seconds, key=times.seconds.get, reverse=True)
    return [(step, times.seconds[step] / total, times.calls[step]) for step in order]


@torch.no_grad()
def compare(model, texts: list[list[int]], mu: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of the heads of the middle layer, {"plain" or "now": one a round}, after a round
    that does not count.
    """
    layer, usual = model.n_layers // 2, activations.PIECE
    streams = memory_plan.fast_streams(Shape.of(model), "cpu")
    variants = {"plain": (streams * 2 // 3, sys.maxsize), "now": (streams, usual)}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    with limited_memory(None, model.device):
        batch = pad(texts, model.device, reads_first=model.architecture.reads_first)
        propagation = Propagation(model, record(model, batch, lean=True))
        for round_number in range(rounds + 1):
            outcomes = []
            for name, (in_flight, activations.PIECE) in variants.items():
                size = memory_plan.chunk_size(model.n_heads, in_flight, batch.ids.numel())
                heads = list(range(model.n_heads))
                start = time.thread_time()
                outcomes.append(
                    torch.cat(
                        [
                            propagation.to_logits(layer, part, mu[layer, part], LABEL_TOKENS)
                            for part in (heads[i : i + size] for i in range(0, len(heads), size))
                        ]
                    )
                )
                if round_number:
                    seconds[name].append(time.thread_time() - start)
            activations.PIECE = usual
            if not torch.equal(*outcomes):
                raise AssertionError("the two paths differ")
    scratch.clear()
    return seconds


def tiny():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=61, n_embd=32, n_layer=3, n_head=4, n_positions=64)
    return wrap(GPT2LMHeadModel(config), None, "a tiny GPT-2")


MODELS = {"gpt2": gpt2_small, "demo": lambda: load_model("demo"), "tiny": tiny}


def main(arguments: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="gpt2", choices=MODELS)
    parser.add_argument("--texts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--compare", type=int, metavar="ROUNDS")
    args = parser.parse_args(arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = MODELS[args.model]()
        texts = random_texts(model.hf.config.vocab_size, args.texts, args.tokens)
        mu = mean_z(model, texts)
        if args.compare:
            least = {k: min(v) for k, v in compare(model, texts, mu, args.compare).items()}
            print(
                f"{model.name}: plain {least['plain']:.3f} s, now {least['now']:.3f} s of CPU time"
                f" ({least['plain'] / least['now']:.3f} times faster), the same bits"
            )
            return
        start = time.thread_time()
        random_pass(model, texts, mu)
        seconds = time.thread_time() - start
        with StepTimes() as times:
            random_pass(model, texts, mu)
    finally:
        torch.set_num_threads(threads)
    print(
        f"{model.name}: {args.texts} texts of {args.tokens} tokens, {seconds:.2f} s of CPU time,"
        f" {sum(times.seconds.values()):.2f} s of it in torch's operations\n"
        f"{'step':26} {'share':>6} {'calls':>7}"
    )
    for step, share, calls in shares(times):
        print(f"{step:26} {share:6.3f} {calls:7d}")


if __name__ == "__main__":
    main()
