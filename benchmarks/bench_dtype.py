"""What does a narrower number format cost in the scores? Each against float64, on the same texts
with the same means.

    python -m benchmarks.bench_dtype [--model demo] [--task demo] [--data-dir FOLDER] [--size 6]
        [--device auto] [--dtypes float32,bfloat16]

`error` is the largest difference of any head's score, as a share of the largest score; `tf32` has
an effect on CUDA only.
"""

import time

import ctsft
from benchmarks.arguments import subject_parser
from ctsft.utils.statistics import spearman


def main():
    parser = subject_parser(__doc__)
    parser.add_argument("--size", type=int, default=6)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    args = parser.parse_args()
    task = ctsft.load_task(args.task, data_dir=args.data_dir)
    exact = ctsft.load_model(args.model, args.device, "float64")
    rows = task.pools(task.load(args.language or task.source, "train"))[0]
    pool = ctsft.discovery_set(exact, task, rows, size=args.size, seed=0)
    means = ctsft.label_balanced_means(exact, task, pool)
    truth = ctsft.score_heads(exact, task, pool, means).values.flatten().double()
    k = max(1, int(0.1 * truth.numel()))
    print(
        f"{len(pool)} texts, {truth.numel()} heads, on {exact.device}\n{'dtype':9} {'error':>8}"
        f" {'Spearman':>9} {f'top {k}':>7} {'seconds':>8}"
    )
    for dtype in args.dtypes.split(","):
        model = ctsft.load_model(args.model, args.device, dtype)
        start = time.perf_counter()
        scores = ctsft.score_heads(model, task, pool, means).values.flatten().double()
        seconds = time.perf_counter() - start
        error = (scores - truth).abs().max() / truth.abs().max()
        shared = len(set(truth.topk(k).indices.tolist()) & set(scores.topk(k).indices.tolist()))
        print(
            f"{dtype:9} {error:8.1e} {spearman(truth, scores):9.4f} {f'{shared}/{k}':>7}"
            f" {seconds:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
