"""Learned rankings against the other methods on unseen rows: CPR and CMD over several pools.

For each seed: a discovery set of pool A, every ranking's CPR and CMD on the same validation rows
(test rows take no part), and the paired differences that `ctsft validate` tests. Prints a line of
JSON for each seed, then the means over seeds with Student-t intervals.

    python -m benchmarks.learned_ranking --task nusax --data-dir FOLDER --seeds 0,1,2,3,4
"""

import argparse
import json

from ctsft.circuit.checks import Checks
from ctsft.circuit.circuit_areas import AREAS
from ctsft.circuit.validation import validate
from ctsft.data.registry import load_task
from ctsft.model.loading import load_model
from ctsft.utils.statistics import spread

METHODS = ("ablation", "cdt", "cdt symmetric", "ig 9 steps", "learned", "learned strength")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--task", default="nusax")
    parser.add_argument("--data-dir")
    parser.add_argument("--language", help="default: the task's source language")
    parser.add_argument("--size", type=int, default=50)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--methods", default=",".join(METHODS))
    chosen = parser.parse_args()
    model, task = load_model(chosen.model), load_task(chosen.task, chosen.data_dir)
    language, methods = chosen.language or task.source, tuple(chosen.methods.split(","))
    source = task.pools(task.load(language, "train"))[0]
    rows = task.load(language, "valid")
    by_method: dict[str, dict[str, list[float]]] = {}
    for seed in map(int, chosen.seeds.split(",")):
        checks = Checks(methods, chosen.size, seed, chosen.rows, n_random=0, pools=0)
        for _, report in validate(model, task, source, rows, checks):
            last = report
        line = {"seed": seed, "best": last.areas["best"]}
        for name, areas in last.areas["methods"].items():
            line[name] = {area: round(areas[area]["value"], 3) for area in AREAS}
            line[name]["passes"] = round(last.agreement[name]["passes"], 1)
            for area in AREAS:
                by_area = by_method.setdefault(name, {area: [] for area in AREAS})
                by_area[area].append(areas[area]["value"])
        print(json.dumps(line), flush=True)
    for name, by_area in by_method.items():
        print(f"{name:<17}" + "  ".join(f"{area} {text(by_area[area])}" for area in AREAS))


def text(values: list[float]) -> str:
    """The mean over seeds with its interval."""
    over = spread(values)
    return f"{over.mean:.3f} ({over.low:.3f} to {over.high:.3f})"


if __name__ == "__main__":
    main()
