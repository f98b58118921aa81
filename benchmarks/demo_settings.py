"""Choose the demo's default settings: which target, learning rate and length show the trade-off?
Train and valid rows only, never test.

    python -m benchmarks.demo_settings [--seeds 4] [--epochs 10] [--n 50] [--k 6]

Source accuracy is measured on Indonesian train and valid, target accuracy on the target's train
rows that were not tuned on, and valid. "lowest" is the lowest source accuracy on the way.
"""

import argparse
from dataclasses import dataclass
from statistics import mean

import ctsft
from ctsft.data.task import balanced_sample

HOLD = 9.0  # the usual strength of holding
METHODS = ("circuit", "near_zero", "random", "full", "full_held")


@dataclass(frozen=True)
class Setting:
    target: str
    lr: float
    epochs: float
    n: int
    k: int


def one(scores, method: str, setting: Setting, seed: int) -> dict[str, float]:
    """Accuracies of one tuning run of a freshly loaded model."""
    model, task = ctsft.load_model("demo"), ctsft.load_task("demo")
    rows = task.load(setting.target, "train")
    train = balanced_sample(rows, setting.n, task.labels, seed)
    source = task.load("indonesian", "train")
    sets = {
        "source": source + task.load("indonesian", "valid"),
        "target": [row for row in rows if row not in train] + task.load(setting.target, "valid"),
    }
    held = method == "full_held"
    what = "full"
    if method not in ("full", "full_held"):
        rule, draw = ("top", {}) if method == "circuit" else (method, {})
        if method == "random":
            draw = {"seed": seed}
        what = ctsft.select(scores, rule, k=setting.k, **draw)
    config = ctsft.TuneConfig(
        epochs=setting.epochs, learning_rate=setting.lr, seed=seed, hold=HOLD if held else 0.0
    )
    keeping = task.pools(source)[0] if held else None
    history = ctsft.finetune(model, task, what, train, sets, config, source=keeping).history
    of = [row["accuracy"] for row in history]
    return {
        "source before": of[0]["source"],
        "source after": of[-1]["source"],
        "lowest": min(row["source"] for row in of),
        "target before": of[0]["target"],
        "target after": of[-1]["target"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", default="10")
    parser.add_argument("--n", default="50")
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--targets", default="english,javanese,minangkabau")
    parser.add_argument("--lrs", default="1e-3,3e-3")
    parser.add_argument("--methods", default=",".join(METHODS))
    args = parser.parse_args()
    model, task = ctsft.load_model("demo"), ctsft.load_task("demo")
    pool = ctsft.discovery_set(model, task, task.pools(task.load("indonesian", "train"))[0])
    scores = ctsft.score_heads(model, task, pool, ctsft.label_balanced_means(model, task, pool))
    print(
        f"{'target':12} {'lr':>6} {'epochs':>6} {'n':>4} {'trained':10} {'source':>16}"
        f" {'lowest':>7} {'target':>16}",
        flush=True,
    )
    settings = [
        Setting(target, float(lr), float(epochs), int(n), args.k)
        for target in args.targets.split(",")
        for n in args.n.split(",")
        for epochs in args.epochs.split(",")
        for lr in args.lrs.split(",")
    ]
    for setting in settings:
        for method in args.methods.split(","):
            runs = [one(scores, method, setting, 31 + seed) for seed in range(args.seeds)]
            of = {name: mean(run[name] for run in runs) for name in runs[0]}
            print(
                f"{setting.target:12} {setting.lr:6.0e} {setting.epochs:6g} {setting.n:4}"
                f" {method:10} {of['source before']:.3f} -> {of['source after']:.3f}"
                f" {of['lowest']:7.3f}"
                f" {of['target before']:.3f} -> {of['target after']:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
