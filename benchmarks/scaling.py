"""How does the time of each scoring method grow with heads, layers, examples and length? Random
weights of small shapes; one of the four numbers is changed at a time, the others stay at the
middle of the grid.

    python -m benchmarks.scaling [--out scaling.json] [--repeats 1] [--threads 1] [--tiny]

Time is the process's CPU time (all threads), the least of `--repeats` passes after one that does
not count, so that other programs on the machine change it little. The exponent is the slope of a
straight line through log time against log size, with its standard error; `operations` is the
exponent of the multiplications that `ctsft estimate` counts for the same passes.

`heads` is changed at a fixed width: more heads are narrower heads, and the model's parameters stay
as many as they were.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass, replace

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from benchmarks.random_pass import mean_z, random_pass, random_texts
from ctsft.attribution.cost_estimate import pass_operations
from ctsft.model.footprint import Shape
from ctsft.model.loading import wrap
from ctsft.model.model import Model

METHODS = ("cdt", "atp", "ig", "ablation")
VOCAB = 512


@dataclass(frozen=True)
class Size:
    """What one pass scores; `length`: tokens of each text."""

    heads: int = 8
    layers: int = 4
    examples: int = 8
    length: int = 32
    width: int = 128


# {what is changed: its values}
GRID = {
    "heads": (2, 4, 8, 16),
    "layers": (2, 4, 8, 16),
    "examples": (4, 8, 16, 32),
    "length": (16, 32, 64, 128),
}
TINY = {name: values[:2] for name, values in GRID.items()}


def build(size: Size) -> Model:
    """A model of Qwen2's form with random weights, its key/value heads as many as its heads."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCAB,
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    return wrap(Qwen2ForCausalLM(config), None, "random weights")


def cpu_seconds(work, repeats: int) -> float:
    """CPU time of all threads: the least of `repeats` calls after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times[1:])


def fit(sizes, values) -> tuple[float, float]:
    """The exponent b of values = a * sizes ** b by least squares on logarithms, and its standard
    error (NaN for two points).
    """
    x = torch.tensor([math.log(size) for size in sizes], dtype=torch.float64)
    y = torch.tensor([math.log(value) for value in values], dtype=torch.float64)
    x, y = x - x.mean(), y - y.mean()
    slope = ((x * y).sum() / x.square().sum()).item()
    if len(x) < 3:
        return slope, math.nan
    variance = (y - slope * x).square().sum() / (len(x) - 2)
    return slope, (variance / x.square().sum()).sqrt().item()


def measure(size: Size, method: str, repeats: int) -> tuple[float, float]:
    """CPU seconds of a pass, and the operations that the estimator counts for it."""
    model = build(size)
    texts = random_texts(VOCAB, size.examples, size.length)
    mu = mean_z(model, texts)
    seconds = cpu_seconds(lambda: random_pass(model, texts, mu, method), repeats)
    return seconds, pass_operations(Shape.of(model), [size.length] * size.examples, method)


def table(grid: dict, base: Size, repeats: int) -> list[dict]:
    """A row for each method and each number that is changed."""
    rows, done = [], {}
    for method in METHODS:
        for name, sizes in grid.items():
            for value in sizes:
                size = replace(base, **{name: value})
                if (method, size) not in done:
                    done[method, size] = measure(size, method, repeats)
            measured = [done[method, replace(base, **{name: value})] for value in sizes]
            seconds, operations = zip(*measured, strict=True)
            exponent, error = fit(sizes, seconds)
            rows.append(
                {
                    "method": method,
                    "changed": name,
                    "sizes": list(sizes),
                    "seconds": list(seconds),
                    "exponent": exponent,
                    "standard_error": error,
                    "operations": fit(sizes, operations)[0],
                }
            )
            print(text(rows[-1]), flush=True)
    return rows


def text(row: dict) -> str:
    sizes = "-".join(str(size) for size in row["sizes"])
    seconds = " ".join(f"{value:8.3f}" for value in row["seconds"])
    return (
        f"{row['method']:9} {row['changed']:9} {sizes:>12} {seconds}"
        f" {row['exponent']:9.2f} {row['standard_error']:5.2f} {row['operations']:11.2f}"
    )


def main(arguments: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="scaling.json")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="two small sizes each: seconds")
    args = parser.parse_args(arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(args.threads)
    grid, base = (TINY, Size(width=32, layers=2)) if args.tiny else (GRID, Size())
    print(
        f"otherwise {base.heads} heads, {base.layers} layers, {base.examples} examples,"
        f" {base.length} tokens, width {base.width}; threads: {args.threads}\n"
        f"{'method':9} {'changed':9} {'sizes':>12} {'CPU seconds':>35} {'exponent':>9}"
        f" {'+-':>5} {'operations':>11}"
    )
    try:
        rows = table(grid, base, args.repeats)
    finally:
        torch.set_num_threads(threads)
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump({"threads": args.threads, "torch": torch.__version__, "rows": rows}, file)


if __name__ == "__main__":
    main()
