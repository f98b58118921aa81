"""Does an adaptive pass find the full pass's top heads, and at what cost? One line a discovery pool.

    python -m benchmarks.bench_adaptive --data-dir FOLDER [--model demo] [--language indonesian] [--pools 20] [--size 50]

Share of work counts blocks x examples x heads; share of time is measured in the same run.
"""
import argparse
import time

import ctsft


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--task", default="nusax")
    parser.add_argument("--data-dir")
    parser.add_argument("--language", default="indonesian")
    parser.add_argument("--pools", type=int, default=20)
    parser.add_argument("--size", type=int, default=50)
    parser.add_argument("--fraction", type=float, default=0.02)
    args = parser.parse_args()
    model, task = ctsft.load_model(args.model), ctsft.load_task(args.task, data_dir=args.data_dir)
    rows = task.pools(task.load(args.language, "train"))[0]
    k = max(1, int(args.fraction * len(model.heads) + 1e-9))
    agreed, works, times = 0, [], []
    for seed in range(args.pools):
        pool = ctsft.discovery_set(model, task, rows, args.size, seed)
        means = ctsft.label_balanced_means(model, task, pool)
        start = time.perf_counter()
        full = ctsft.score_heads(model, task, pool, means)
        middle = time.perf_counter()
        fast = ctsft.score_heads(model, task, pool, means, adaptive=True, k=k)
        seconds = middle - start, time.perf_counter() - middle
        cost = [(model.n_layers - layer) * scores.counts[layer].sum().item() for scores in (full, fast) for layer in range(model.n_layers)]
        works.append(sum(cost[model.n_layers:]) / sum(cost[:model.n_layers]))
        times.append(seconds[1] / seconds[0])
        same = ctsft.select(full, "top", k=k).heads == ctsft.select(fast, "top", k=k).heads
        agreed += same
        print(f"pool {seed:2d}: {'same set' if same else 'ANOTHER SET'}, {works[-1]:.1%} of the work, {times[-1]:.1%} of the time "
              f"({seconds[0]:.1f} s and {seconds[1]:.1f} s). {fast.notes[0]}", flush=True)
    print(f"{agreed} of {args.pools} pools of {args.size}: the same {k} of {len(model.heads)} heads; on average "
          f"{sum(works) / len(works):.1%} of the work, at most {max(works):.1%}; {sum(times) / len(times):.1%} of the time")


if __name__ == "__main__":
    main()
