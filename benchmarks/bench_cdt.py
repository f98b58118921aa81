"""How fast is exact CD-T over all heads? Ratios measured in one run on this machine, printed and
written to bench.json.

    python -m benchmarks.bench_cdt [--out bench.json] [--repeats 3]

two-stream   the naive way (benchmarks/two_stream.py): both streams through every matrix at every
             position, starting at the source's layer
whole        the same from the first block on, as code does that propagates from the embeddings for
             whatever source (measured once)
one stream   the multiplications of one stream from each source layer to the end, each at the rate
             this machine reaches for a matrix
             product of that very shape
needed       the same without what the last block does not need (only the readout's queries, output
             projection and MLP)
atp          attribution patching of all heads, in plain forward passes over the same texts
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks import two_stream
from ctsft.attribution.gradient_methods import attribution_patching
from ctsft.attribution.methods import cdt
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scoring_batch import ScoringBatch
from ctsft.model import memory_plan
from ctsft.model.batching import pad
from ctsft.model.evaluation import direction_weights
from ctsft.model.forward import readout_logits, record
from ctsft.model.loading import load_model, wrap
from ctsft.model.model import Model
from ctsft.model.process_memory import limited_memory


def seconds(work, repeats: int) -> float:
    """Median time of `repeats` calls after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def once(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def gpt2_small() -> Model:
    torch.manual_seed(0)
    return wrap(GPT2LMHeadModel(GPT2Config()), None, "GPT-2 small's shape, random weights")


def matmul_seconds(rows: int, weight: torch.Tensor, repeats: int, cache: dict) -> float:
    shape = rows, *weight.shape
    if shape not in cache:
        x = torch.randn(rows, weight.shape[1])
        cache[shape] = seconds(lambda: F.linear(x, weight), repeats)
    return cache[shape]


def attention_seconds(model: Model, rows: int, pos: int, repeats: int, cache: dict) -> float:
    """q k^T and P v as two batched matrix products."""
    shape = "attention", rows, pos
    if shape not in cache:
        n = rows // pos * model.n_heads
        q = torch.randn(n, pos, model.d_head)
        k = torch.randn(n, model.d_head, pos)
        p = torch.rand(n, pos, pos)
        cache[shape] = seconds(lambda: torch.bmm(q, k), repeats) + seconds(
            lambda: torch.bmm(p, q), repeats
        )
    return cache[shape]


def floor_seconds(model: Model, batch: int, pos: int, repeats: int) -> tuple[float, float]:
    """Time of the multiplications alone, all heads of a layer at a time: of whole blocks, and of
    what the last one needs.
    """
    cache: dict = {}
    time_of = partial(matmul_seconds, repeats=repeats, cache=cache)
    rows, last = model.n_heads * batch * pos, model.n_layers - 1
    whole = needed = 0.0
    for source in range(model.n_layers):
        for layer in range(source, model.n_layers):
            block = model.blocks[layer]
            mlp = [block.up, block.down] + ([block.gate] if block.gate else [])

            def step(queries, block=block, mlp=mlp, first=layer == source):
                time = sum(time_of(queries, part.weight) for part in mlp)
                if first:  # one head's columns only
                    return time + time_of(queries, block.o.weight) / model.n_heads
                time += sum(time_of(rows, part.weight) for part in (block.k, block.v))
                time += sum(time_of(queries, part.weight) for part in (block.q, block.o))
                return time + (
                    attention_seconds(model, rows, pos, repeats, cache) if queries == rows else 0.0
                )

            whole += step(rows)
            needed += step(model.n_heads * batch) if layer == last else step(rows)
    return whole, needed


@torch.no_grad()
def measure(model: Model, batch: int, pos: int, repeats: int) -> dict:
    """Everything without returning freed memory, as in `score_heads`."""
    with limited_memory(None, model.device):
        return measured(model, batch, pos, repeats)


def measured(model: Model, batch: int, pos: int, repeats: int) -> dict:
    draw = torch.Generator().manual_seed(1)
    texts = [
        torch.randint(model.hf.config.vocab_size, (pos,), generator=draw).tolist()
        for _ in range(batch)
    ]
    rows, tokens = pad(texts, model.device), [11, 12, 13]
    mu = torch.randn(model.n_layers, model.n_heads, model.d_head, generator=draw) * 0.1
    gold = direction_weights(torch.zeros(batch, dtype=torch.long), 3)
    job = ScoringBatch(
        model,
        rows,
        tokens,
        gold,
        mu,
        ScoreConfig(),
        memory_plan.make_plan(model, memory_plan.Workload("cdt", pos, batch)),
    )

    last = {model.n_layers - 1: list(range(model.n_heads))}

    def ours():
        out = torch.zeros(batch, model.n_layers, model.n_heads)
        for layer, heads, part in cdt(job):
            out[:, layer, heads] = part
        return out

    def naive(whole=False):
        return two_stream.scores(model, record(model, rows), mu, tokens, gold, whole)

    difference = ((ours() - naive()).abs().max() / naive().abs().max()).item()
    forward = seconds(lambda: readout_logits(model.hf, rows), repeats)
    slope = ScoringBatch(
        model,
        rows,
        tokens,
        gold,
        mu,
        ScoreConfig(),
        memory_plan.make_plan(model, memory_plan.Workload("atp", pos, batch)),
    )
    whole, needed = floor_seconds(model, batch, pos, repeats)
    times = {
        "cdt": seconds(ours, repeats),
        "two_stream": seconds(naive, repeats),
        "whole": once(lambda: naive(whole=True)),
        "one_stream": whole,
        "needed": needed,
        "atp": seconds(lambda: list(attribution_patching(slope)), repeats),
        "last_layer": seconds(lambda: list(cdt(replace(job, heads_by_layer=last))), repeats),
    }
    return {
        "model": model.name,
        "layers": model.n_layers,
        "heads": model.n_heads,
        "texts": batch,
        "tokens": pos,
        "seconds": times,
        "forward": forward,
        "times_faster_than_two_stream": times["two_stream"] / times["cdt"],
        "times_faster_than_whole": times["whole"] / times["cdt"],
        "share_of_matmul_rate": whole / times["cdt"],
        "share_of_needed": needed / times["cdt"],
        "forward_passes": times["cdt"] / forward,
        "atp_forward_passes": times["atp"] / forward,
        "largest_difference": difference,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="bench.json")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rows = [
        measure(model, batch, pos, args.repeats)
        for model, batch, pos in ((load_model("demo"), 8, 40), (gpt2_small(), 4, 32))
    ]
    names = (
        "model",
        "CD-T",
        "two-stream",
        "faster",
        "whole",
        "faster",
        "one stream",
        "rate",
        "needed",
        "rate",
        "atp",
        "difference",
    )
    widths = (36, 8, 11, 7, 8, 7, 11, 5, 8, 5, 5, 11)
    print(
        " ".join(
            f"{name:<{width}}" if i == 0 else f"{name:>{width}}"
            for i, (name, width) in enumerate(zip(names, widths, strict=True))
        )
    )
    for row in rows:
        t = {name: f"{value:.2f}s" for name, value in row["seconds"].items()}
        cells = (
            row["model"],
            t["cdt"],
            t["two_stream"],
            f"{row['times_faster_than_two_stream']:.2f}x",
            t["whole"],
            f"{row['times_faster_than_whole']:.2f}x",
            t["one_stream"],
            f"{row['share_of_matmul_rate']:.2f}",
            t["needed"],
            f"{row['share_of_needed']:.2f}",
            f"{row['atp_forward_passes']:.1f}",
            f"{row['largest_difference']:.1e}",
        )
        print(
            " ".join(
                f"{cell:<{width}}" if i == 0 else f"{cell:>{width}}"
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
        )
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(
            {"threads": torch.get_num_threads(), "torch": torch.__version__, "rows": rows},
            file,
            indent=1,
        )


if __name__ == "__main__":
    main()
