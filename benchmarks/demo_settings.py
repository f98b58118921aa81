"""Choose the demo's default settings: which target and learning rate show the trade-off? Train and
valid rows only, never test.

    python -m benchmarks.demo_settings [--seeds 2] [--epochs 10] [--n 50] [--k 6]

Source accuracy is measured on Indonesian train and valid, target accuracy on the target's train
rows that were not tuned on, and valid.
"""

import argparse
from statistics import mean

import ctsft
from ctsft.data.task import balanced_sample


def one(what, target: str, lr: float, seed: int, args) -> tuple[dict, dict]:
    """Accuracies before and after one tuning run of a freshly loaded model."""
    model, task = ctsft.load_model("demo"), ctsft.load_task("demo")
    rows = task.load(target, "train")
    train = balanced_sample(rows, args.n, task.labels, seed)
    sets = {
        "source": task.load("indonesian", "train") + task.load("indonesian", "valid"),
        "target": [row for row in rows if row not in train] + task.load(target, "valid"),
    }
    config = ctsft.TuneConfig(epochs=args.epochs, learning_rate=lr, seed=seed, eval_every=10**6)
    history = ctsft.finetune(model, task, what, train, sets, config).history
    return history[0]["accuracy"], history[-1]["accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--targets", default="english,javanese,minangkabau")
    parser.add_argument("--lrs", default="1e-3,3e-3")
    args = parser.parse_args()
    model, task = ctsft.load_model("demo"), ctsft.load_task("demo")
    pool = ctsft.discovery_set(model, task, task.pools(task.load("indonesian", "train"))[0])
    scores = ctsft.score_heads(model, task, pool, ctsft.label_balanced_means(model, task, pool))
    circuits = {
        f"{args.k} circuit heads": ctsft.select(scores, "top", k=args.k),
        f"{args.k} near-zero heads": ctsft.select(scores, "near_zero", k=args.k),
        "everything": "full",
    }
    print(f"{'target':12} {'lr':>6} {'trained':20} {'source':>16} {'target':>16}", flush=True)
    for target in args.targets.split(","):
        for lr in map(float, args.lrs.split(",")):
            for name, what in circuits.items():
                pairs = [one(what, target, lr, 31 + seed, args) for seed in range(args.seeds)]
                cells = [
                    f"{mean(before[key] for before, _ in pairs):.3f} ->"
                    f" {mean(after[key] for _, after in pairs):.3f}"
                    for key in ("source", "target")
                ]
                print(f"{target:12} {lr:6.0e} {name:20} {cells[0]:>16} {cells[1]:>16}", flush=True)


if __name__ == "__main__":
    main()
