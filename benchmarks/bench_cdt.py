"""How fast is exact CD-T over all heads? Ratios measured in one run on this machine, printed and written to bench.json.

    python -m benchmarks.bench_cdt [--out bench.json] [--repeats 3]

two-stream   the naive way (benchmarks/two_stream.py): both streams through every matrix, everywhere
floor        the multiplications that one stream needs, from each source layer to the end (in the last block only the readout's
             queries, output projection and MLP), each at the rate this machine reaches for a matrix product of that very shape
"""
import argparse
import json
import statistics
import time
from functools import partial

import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks import two_stream
from ctsft import planning
from ctsft.answers import directions
from ctsft.loading import load_model, wrap
from ctsft.methods import Job, cdt
from ctsft.models import Model
from ctsft.scores import ScoreConfig
from ctsft.trace import pad, readout_logits, record


def seconds(work, repeats: int) -> float:
    """Median time of `repeats` calls after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


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
        q, k, p = torch.randn(n, pos, model.d_head), torch.randn(n, model.d_head, pos), torch.rand(n, pos, pos)
        cache[shape] = seconds(lambda: torch.bmm(q, k), repeats) + seconds(lambda: torch.bmm(p, q), repeats)
    return cache[shape]


def floor_seconds(model: Model, batch: int, pos: int, repeats: int) -> float:
    """Time of the multiplications alone, all heads of a layer at a time."""
    cache: dict = {}
    time_of = partial(matmul_seconds, repeats=repeats, cache=cache)
    total, last = 0.0, model.n_layers - 1
    for source in range(model.n_layers):
        for layer in range(source, model.n_layers):
            block, rows = model.blocks[layer], model.n_heads * batch * pos
            queries = model.n_heads * batch if layer == last else rows
            mlp = [block.up, block.down] + ([block.gate] if block.gate else [])
            total += sum(time_of(queries, part.weight) for part in mlp)
            if layer == source:                     # one head's columns only
                total += time_of(queries, block.o.weight) / model.n_heads
            else:
                total += sum(time_of(rows, part.weight) for part in (block.k, block.v))
                total += sum(time_of(queries, part.weight) for part in (block.q, block.o))
                if layer != last:
                    total += attention_seconds(model, rows, pos, repeats, cache)
    return total


@torch.no_grad()
def measure(model: Model, batch: int, pos: int, repeats: int) -> dict:
    draw = torch.Generator().manual_seed(1)
    texts = [torch.randint(model.hf.config.vocab_size, (pos,), generator=draw).tolist() for _ in range(batch)]
    rows, tokens = pad(texts, model.device), [11, 12, 13]
    mu = torch.randn(model.n_layers, model.n_heads, model.d_head, generator=draw) * 0.1
    gold = directions(torch.zeros(batch, dtype=torch.long), 3)
    job = Job(model, rows, tokens, gold, mu, ScoreConfig(), planning.make(model, planning.Work("cdt", pos, batch)))

    def ours():
        out = torch.zeros(batch, model.n_layers, model.n_heads)
        for layer, heads, part in cdt(job):
            out[:, layer, heads] = part
        return out

    def naive():
        return two_stream.scores(model, record(model, rows), mu, tokens, gold)
    difference = ((ours() - naive()).abs().max() / naive().abs().max()).item()
    forward = seconds(lambda: readout_logits(model.hf, rows), repeats)
    times = {"cdt": seconds(ours, repeats), "two_stream": seconds(naive, repeats), "floor": floor_seconds(model, batch, pos, repeats)}
    return {"model": model.name, "layers": model.n_layers, "heads": model.n_heads, "texts": batch, "tokens": pos, "seconds": times,
            "forward": forward,
            "times_faster_than_two_stream": times["two_stream"] / times["cdt"], "share_of_matmul_rate": times["floor"] / times["cdt"],
            "forward_passes": times["cdt"] / forward, "largest_difference": difference}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="bench.json")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rows = [measure(model, batch, pos, args.repeats) for model, batch, pos in ((load_model("demo"), 8, 40), (gpt2_small(), 4, 32))]
    print(f"{'model':38} {'CD-T':>8} {'two-stream':>11} {'floor':>8} {'x faster':>9} {'of matmul rate':>15} {'difference':>11}")
    for row in rows:
        t = row["seconds"]
        print(f"{row['model']:38} {t['cdt']:7.2f}s {t['two_stream']:10.2f}s {t['floor']:7.2f}s {row['times_faster_than_two_stream']:9.2f} "
              f"{row['share_of_matmul_rate']:15.2f} {row['largest_difference']:11.1e}")
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump({"threads": torch.get_num_threads(), "torch": torch.__version__, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
