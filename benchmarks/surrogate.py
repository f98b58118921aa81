"""How well is the faithfulness of a circuit predicted that was edited by hand? Fits a surrogate,
and measures edited circuits that it never saw: mean absolute error, R2, how often the interval
holds the measurement, and the time of a prediction.

    python -m benchmarks.surrogate [--model demo] [--task demo] [--data-dir FOLDER]
        [--language indonesian] [--circuits 300] [--edited 200] [--rows 100] [--longest TOKENS]

An edited circuit: the first heads of a ranking (of CD-T, attribution patching, integrated gradients
or mean ablation; --edit-methods), 2 heads to 60 % of all, then one to six heads added, removed or
swapped: half of them next to the cutoff, half anywhere. The surrogate knows the rankings of the
job: CD-T's (--method), and two estimates of mean ablation. --longest leaves longer prompts out.
Measured circuits are stored in the cache: a benchmark that was interrupted goes on.
"""

import math
import random
import time

import numpy as np

import ctsft
from benchmarks.arguments import subject_parser
from ctsft.attribution.variants import VARIANTS
from ctsft.circuit.set_meter import SetMeter
from ctsft.circuit.surrogate import FaithfulnessSurrogate
from ctsft.data.task import balanced_sample
from ctsft.jobs.surrogate import ESTIMATES, complete_ranking

MOST_EDITS = 6
LARGEST_SHARE = 0.6  # of all heads, before the edits
NEXT_HEADS = 10  # on either side of the cutoff


def edited_circuits(rankings: list[list], count: int, seed: int) -> list[frozenset]:
    """The first heads of a ranking after some changes, as a person makes them."""
    draw, circuits = random.Random(seed), []
    largest = LARGEST_SHARE * len(rankings[0])
    while len(circuits) < count:
        ranking = draw.choice(rankings)
        heads = set(ranking[: round(2 * math.exp(draw.random() * math.log(largest / 2)))])
        for _ in range(draw.randint(1, MOST_EDITS)):
            inside = [head for head in ranking if head in heads]
            outside = [head for head in ranking if head not in heads]
            change = draw.choice(("add", "remove", "swap"))
            if change != "remove" and outside:
                heads.add(draw.choice(draw.choice((outside[:NEXT_HEADS], outside))))
            if change != "add" and len(inside) > 1:
                heads.remove(draw.choice(draw.choice((inside[-NEXT_HEADS:], inside))))
        if frozenset(heads) not in circuits:
            circuits.append(frozenset(heads))
    return circuits


def masks_of(circuits: list[frozenset], model) -> np.ndarray:
    """[circuit, head] bool; the first without heads and the second with all."""
    masks = np.zeros((len(circuits) + 2, model.n_layers, model.n_heads), bool)
    masks[1] = True
    for mask, heads in zip(masks[2:], circuits, strict=True):
        mask[tuple(zip(*heads, strict=True))] = True
    return masks.reshape(len(masks), -1)


def report(surrogate: FaithfulnessSurrogate, circuits: list[frozenset], truth: dict) -> None:
    for measure in surrogate.measures:
        known, times = [], []
        for heads in circuits:
            began = time.perf_counter()
            known.append(surrogate.predict(heads, measure))
            times.append(time.perf_counter() - began)
        new = np.array([not one.measured for one in known])
        value, low, high = (
            np.array([getattr(one, part) for one in known])[new]
            for part in ("value", "low", "high")
        )
        measured = truth[measure][new]
        inside = (low - 1e-9 <= measured) & (measured <= high + 1e-9)
        spread = ((measured - measured.mean()) ** 2).sum()
        print(
            f"by {measure:8} {new.sum()} edited circuits that were never fitted: mean absolute"
            f" error {np.abs(value - measured).mean():.3f}, R2"
            f" {1 - ((value - measured) ** 2).sum() / spread:.3f}, {inside.mean():.1%} inside the"
            f" 90 % interval (median width {np.median(high - low):.2f}); a prediction takes"
            f" {1000 * np.median(times):.1f} ms, at most {1000 * max(times):.1f} ms",
            flush=True,
        )


def main():
    parser = subject_parser(__doc__)
    parser.add_argument(
        "--method", default="cdt", help="a name of ctsft.attribution.methods.VARIANTS"
    )
    parser.add_argument("--edit-methods", default="cdt,atp,ig 9 steps,ablation")
    parser.add_argument("--circuits", type=int, default=300)
    parser.add_argument("--edited", type=int, default=200)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--size", type=int, default=50, help="of the discovery set")
    parser.add_argument("--longest", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model, task = ctsft.load_model(args.model), ctsft.load_task(args.task, data_dir=args.data_dir)
    language = args.language or task.source

    def short(split: str) -> list:
        rows = task.load(language, split)
        return [row for row in rows if len(task.encode(model, row)) <= args.longest]

    rows = short("valid")
    rows = balanced_sample(rows, min(args.rows, len(rows)), task.labels, args.seed)
    pool = ctsft.discovery_set(
        model, task, task.pools(short("train"))[0], args.size, args.seed, cache=True
    )
    means = ctsft.label_balanced_means(model, task, pool, cache=True)

    def ranking(examples, method, **settings):
        return complete_ranking(
            ctsft.score_heads(model, task, examples, means, method, cache=True, **settings)
        )

    variants = {name: VARIANTS[name] for name in (args.method, *args.edit_methods.split(","))}
    by_name = {name: ranking(pool, of.method, **of.settings) for name, of in variants.items()}
    estimates = [ranking(rows, method, **settings) for method, settings in ESTIMATES.items()]
    print(f"{len(model.heads)} heads, {len(rows)} rows; rankings are ready", flush=True)
    meter = SetMeter(model, task, rows, means, cache=True)
    began = time.perf_counter()
    *_, sets = meter.measure([by_name[args.method], *estimates], args.circuits, args.seed)
    middle = time.perf_counter()
    surrogate = FaithfulnessSurrogate.fit(sets)
    fitted = time.perf_counter() - middle
    print(
        f"{len(sets.masks)} circuits measured in {middle - began:.0f} s (0 s: from the cache),"
        f" fitted in {fitted:.1f} s",
        flush=True,
    )
    names = args.edit_methods.split(",")
    circuits = edited_circuits([by_name[name] for name in names], args.edited, args.seed + 1)
    *_, logits = meter.logits(masks_of(circuits, model))
    outputs = np.stack(logits) - np.stack(logits).mean(-1, keepdims=True)
    truth = sets.faithfulness(outputs[2:].reshape(len(circuits), -1).astype(np.float64))
    report(surrogate, circuits, truth)


if __name__ == "__main__":
    main()
