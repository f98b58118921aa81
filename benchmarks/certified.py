"""Does a certified pass find the top heads of full mean ablation, within its budget? One line for
each number of heads.

    python -m benchmarks.certified [--model demo] [--task demo] [--data-dir FOLDER]
        [--language indonesian] [--texts 100] [--longest 24] [--pools 20] [--size 20] [--k 5,27]
        [--check]

Every head is ablated once on all texts (stored in the cache), and nine-step integrated gradients
estimate the same; pools are drawn from these texts and the race reads its numbers from there.
--check: the pass is run on the first pool, and compared with full ablation in time and heads.
"""

import time

import numpy as np
import torch

import ctsft
from benchmarks.arguments import subject_parser
from ctsft.attribution.certified import STEPS, certify


def replayed(estimate: torch.Tensor, effects: torch.Tensor, k: int, seed: int):
    """The race on a pool whose effects [example, layer, head] are known."""

    def measure(rows: list[int], heads: torch.Tensor) -> torch.Tensor:
        measured = torch.full_like(effects, float("nan"))
        measured[rows] = torch.where(heads, effects[rows], torch.nan)
        return measured

    return certify(estimate, k, measure, seed)


def top(effects: torch.Tensor, k: int) -> set:
    order = effects.double().mean(0).flatten().argsort(descending=True, stable=True)
    return set(order[:k].tolist())


def measure_pools(estimate: torch.Tensor, effects: torch.Tensor, k: int, args) -> None:
    common, estimated, certified, wrong, passes, sentences = [], [], 0, 0, [], []
    for pool in range(args.pools):
        rows = np.random.default_rng(100 + pool).choice(len(effects), args.size, replace=False)
        values, certificate = replayed(estimate[rows], effects[rows], k, pool)
        common.append(len(top(values, k) & top(effects[rows], k)))
        estimated.append(len(top(estimate[rows], k) & top(effects[rows], k)))
        certified += certificate.certified
        wrong += certificate.certified and common[-1] < k
        passes.append(certificate.passes)
        if not certificate.certified:
            sentences.append(f"  pool {pool}: {certificate.sentence()}")
    print(
        f"the best {k}: all of full ablation's in {common.count(k)} of {args.pools} pools of"
        f" {args.size} texts (on average {np.mean(common):.2f} of {k}, at least {min(common)}; the"
        f" estimate alone {estimated.count(k)}, {np.mean(estimated):.2f}, {min(estimated)});"
        f" certified {certified}, of these wrong"
        f" {wrong}; {np.mean(passes):.1f} forward passes on average, at most {max(passes):.1f}"
        f" (full: {effects[0].numel() + 1})",
        *sentences,
        sep="\n",
        flush=True,
    )


def main():
    parser = subject_parser(__doc__)
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--longest", type=int, default=10**9)
    parser.add_argument("--pools", type=int, default=20)
    parser.add_argument("--size", type=int, default=20)
    parser.add_argument("--k", default="1,5")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    model, task = ctsft.load_model(args.model), ctsft.load_task(args.task, data_dir=args.data_dir)
    language = args.language or task.source
    rows = [
        row
        for split in ("train", "test")
        for row in task.load(language, split)
        if len(task.encode(model, row)) <= args.longest
    ]
    answers = ctsft.predict(model, task, rows)
    rows = [row for row, answer in zip(rows, answers, strict=True) if row.label == answer]
    rows = rows[: args.texts]
    means = ctsft.label_balanced_means(model, task, rows, cache=True)
    print(f"{len(model.heads)} heads, {len(rows)} texts", flush=True)
    estimate, effects = (
        ctsft.score_heads(model, task, rows, means, method, cache=True, **settings).per_example
        for method, settings in (("ig", {"steps": STEPS}), ("ablation", {}))
    )
    for k in map(int, args.k.split(",")):
        measure_pools(estimate, effects, k, args)
    if not args.check:
        return
    pool, k = rows[: args.size], int(args.k.split(",")[0])
    seconds, tops = [], []
    for settings in ({}, {"certified": True, "k": k}):
        began = time.perf_counter()
        scores = ctsft.score_heads(model, task, pool, means, "ablation", **settings)
        seconds.append(time.perf_counter() - began)
        tops.append(scores.ranking()[:k])
    print(
        f"the pass itself on {args.size} texts: {seconds[1]:.1f} s (full: {seconds[0]:.1f} s),"
        f" {'the same' if set(tops[0]) == set(tops[1]) else 'OTHER'} heads. {scores.notes[0]}"
    )


if __name__ == "__main__":
    main()
