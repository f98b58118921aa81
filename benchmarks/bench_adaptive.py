"""Does an adaptive pass find the full pass's top heads, and at what cost? One line for each
discovery pool, and how much the pools agree.

    python -m benchmarks.bench_adaptive --data-dir FOLDER [--model demo] [--language indonesian]
        [--pools 20] [--size 50] [--longest TOKENS] [--splits train] [--replay]

Share of work counts blocks x examples x heads; share of time is measured in the same run.
`--longest` leaves longer prompts out. `--replay` lets the adaptive pass read its scores from the
full pass (those of every fifth pool are computed again, and compared), and stores full passes on
disk, so that an interrupted run can be resumed.
"""

import argparse
import time
from dataclasses import replace

import torch

import ctsft
from ctsft.attribution.adaptive import TopHeadsSearch, find_top_heads
from ctsft.attribution.scores import Scores
from ctsft.attribution.scoring_pass import blocks_to_compute
from ctsft.circuit.ranking_agreement import first_head_agreement, jaccard

CHECK_EVERY = 5  # of so many replayed pools one is computed


def replayed(model, full: Scores, k: int) -> Scores:
    """What an adaptive pass makes of the full pass's own numbers."""

    def measure(rows: list[int], heads: torch.Tensor) -> torch.Tensor:
        measured = torch.full_like(full.per_example, float("nan"))
        measured[rows] = torch.where(heads, full.per_example[rows], torch.nan)
        return measured

    blocks = blocks_to_compute("cdt", full.config, model.n_layers)
    search = TopHeadsSearch(full.labels, (model.n_layers, model.n_heads), k, blocks)
    per_example, summary = find_top_heads(search, measure)
    return replace(full, per_example=per_example, notes=[summary])


def work(model, scores: Scores) -> int:
    """Blocks x examples x heads."""
    return sum(
        (model.n_layers - layer) * scores.counts[layer].sum().item()
        for layer in range(model.n_layers)
    )


def stability(tops: list[list], texts: list[set]) -> str:
    return (
        f"stability over {len(tops)} pools that share {jaccard(texts):.2f} of their texts: Jaccard"
        f" index of the top {len(tops[0])} heads {jaccard(tops):.2f}, the same first head in"
        f" {first_head_agreement(tops):.0%} of the pairs"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--task", default="nusax")
    parser.add_argument("--data-dir")
    parser.add_argument("--language", default="indonesian")
    parser.add_argument("--splits", default="train", help="comma-separated")
    parser.add_argument(
        "--longest", type=int, help="tokens of the longest prompt taken; all otherwise"
    )
    parser.add_argument("--pools", type=int, default=20)
    parser.add_argument("--size", type=int, default=50)
    parser.add_argument("--fraction", type=float, default=0.02)
    parser.add_argument("--replay", action="store_true")
    args = parser.parse_args()
    model, task = ctsft.load_model(args.model), ctsft.load_task(args.task, data_dir=args.data_dir)
    rows = [
        row
        for split in args.splits.split(",")
        for row in task.pools(task.load(args.language, split))[0]
    ]
    rows = [
        row for row in rows if args.longest is None or len(task.encode(model, row)) <= args.longest
    ]
    print(f"{len(rows)} texts to draw from", flush=True)
    k = max(1, int(args.fraction * len(model.heads) + 1e-9))
    works, times, tops, texts, agreed = [], [], [], [], 0
    for seed in range(args.pools):
        pool = ctsft.discovery_set(model, task, rows, args.size, seed, cache=args.replay)
        # their last bits depend on how many threads were free
        means = ctsft.label_balanced_means(model, task, pool, cache=args.replay)
        start = time.perf_counter()
        full = ctsft.score_heads(model, task, pool, means, cache=args.replay)
        middle = time.perf_counter()
        fast = (
            replayed(model, full, k)
            if args.replay and seed % CHECK_EVERY
            else ctsft.score_heads(model, task, pool, means, adaptive=True, k=k)
        )
        seconds = middle - start, time.perf_counter() - middle
        works.append(work(model, fast) / work(model, full))
        times.append(seconds[1] / seconds[0])
        same = ctsft.select(full, "top", k=k).heads == ctsft.select(fast, "top", k=k).heads
        agreed += same
        tops.append(full.ranking()[:k])
        texts.append({row.id for row in pool})
        took = (
            ""
            if args.replay
            else f", {times[-1]:.1%} of the time ({seconds[0]:.1f} s and {seconds[1]:.1f} s)"
        )
        print(
            f"pool {seed:2d}: {'same set' if same else 'ANOTHER SET'}, {works[-1]:.1%} of the"
            f" work{took}. {fast.notes[0]}",
            flush=True,
        )
    print(
        f"{agreed} of {args.pools} pools of {args.size}: the same {k} of {len(model.heads)} heads;"
        f" on average {sum(works) / len(works):.1%} of the work, at most {max(works):.1%}"
        + ("" if args.replay else f"; {sum(times) / len(times):.1%} of the time")
    )
    if args.pools > 1:
        print(stability(tops[:10], texts[:10]))


if __name__ == "__main__":
    main()
