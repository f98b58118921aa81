"""Where the heads of a variant of the bundled model matter: train and valid rows only.

    python -m benchmarks.demo_variants demo FOLDER [--nusax FOLDER]

Accuracy on valid rows; CD-T relevance and mean ablation of every head on 50 Indonesian train texts
of the bundled corpus: each layer's share of the absolute scores, their rank correlation, and where
removal ranks CD-T's first head.
"""

import argparse

from scipy.stats import spearmanr

import ctsft


def heads(model, task) -> list[str]:
    """Lines on CD-T, mean ablation and their agreement."""
    pool = ctsft.discovery_set(model, task, task.pools(task.load("indonesian", "train"))[0])
    means = ctsft.label_balanced_means(model, task, pool)
    cdt, removal = (
        ctsft.score_heads(model, task, pool, means, method).values for method in ("cdt", "ablation")
    )  # [layer, head] each
    lines = []
    for name, scores in (("cdt", cdt), ("ablation", removal)):
        shares = scores.abs().sum(1) / scores.abs().sum()  # [layer]
        lines.append(f"{name}: share of each layer " + " ".join(f"{s:.2f}" for s in shares))
    first = cdt.argmax()
    rank = int((removal > removal.flatten()[first]).sum()) + 1
    agreement = spearmanr(cdt.flatten(), removal.flatten()).statistic
    lines.append(
        f"Spearman {agreement:.2f}; removal ranks CD-T's first head {rank} of {cdt.numel()}"
    )
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="demo, or folders")
    parser.add_argument("--nusax", help="folder of NusaX, for its Indonesian valid rows too")
    args = parser.parse_args()
    tasks = [ctsft.load_task("demo")]
    if args.nusax:
        tasks.append(ctsft.load_task("nusax", args.nusax))
    for name in args.models:
        model = ctsft.load_model(name)
        print(name)
        for task in tasks:
            share = ctsft.accuracy(model, task, task.load("indonesian", "valid"))
            print(f"  {task.name}: Indonesian valid {share:.3f}")
        for line in heads(model, tasks[0]):
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
