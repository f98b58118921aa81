"""How long the Compare page takes with many run folders: the first visit, and a rerun.

    python -m benchmarks.bench_compare [--runs 500] [--repeats 5]

The folders are made here, in the shape that the jobs leave; their figures are drawn at random and
mean nothing. One experiment holds most of them.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from ctsft.jobs.experiment_design import Trial
from ctsft.jobs.requests import FinetuneRequest, Subject, TrialOf, Tuning
from ctsft.runs.folder import Facts
from ctsft.tuning.config import TuneConfig

APP = Path(__file__).parents[1] / "explorer" / "main.py"


METHODS = ("circuit", "near_zero", "random", "norms", "full")
TARGETS = ("english", "javanese")
SIZES = (25, 100)
SEEDS = range(31, 1000)
SINGLE = 8  # runs that belong to no experiment


def make(home: Path, count: int):
    """Folders of `count` finished tuning runs."""
    draw = random.Random(0)
    trials = itertools.product(SEEDS, TARGETS, SIZES, METHODS)
    for i in range(count):
        seed, target, n, method = next(trials)
        trial = Trial(
            setting="rough", method=method, target=target, n=n, seed=seed, learning_rate=3e-3
        )
        single = i < SINGLE
        run_id = (
            f"20260101-0000{i:02}-finetune-bnch"
            if single
            else f"20260102-000000-experiment-bnch-{trial.key}"
        )
        trial_of = None if single else TrialOf(run=run_id.rpartition("-")[0], trial=trial)
        write(home / "runs" / run_id, trial, draw, trial_of, i)


def write(folder: Path, trial: Trial, draw: random.Random, trial_of: TrialOf | None, order: int):
    folder.mkdir(parents=True)
    request = FinetuneRequest(
        subject=Subject(language="indonesian"),
        tuning=Tuning(target=trial.target, what=trial.method, k=6, n=trial.n),
        config=TuneConfig(epochs=6, learning_rate=trial.learning_rate, seed=trial.seed),
        created=1.77e9 + order,
        facts=Facts(version="bench"),
        trial_of=trial_of,
    )
    ends = [draw.uniform(0.4, 0.7), draw.uniform(0.3, 0.6)]
    history = [
        {
            "step": step,
            "steps": 40,
            "epoch": step / 7,
            "loss": 1.0,
            "seconds": float(step),
            "accuracy": {
                "indonesian": 0.667 + step / 40 * (ends[0] - 0.667),
                trial.target: 0.333 + step / 40 * (ends[1] - 0.333),
            },
        }
        for step in (0, 20, 40)
    ]
    heads = None if trial.method in ("norms", "full") else 6
    files = {
        "request.json": request.model_dump(),
        "status.json": {
            "state": "done",
            "progress": 1.0,
            "started": 1.77e9,
            "finished": 1.77e9 + 40,
        },
        "result.json": {
            "heads": heads,
            "trainable": 76464,
            "total": 3094656,
            "history": history,
            "rows": {"indonesian": 120, trial.target: 120},
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    lines = [json.dumps({"kind": "evaluation", "time": 0.0, **row}) for row in history]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["CTSFT_HOME"] = scratch
        make(Path(scratch), args.runs)
        at = AppTest.from_file(str(APP), default_timeout=120)
        at.run()  # Setup: the model is loaded here
        began = time.perf_counter()
        at.switch_page("compare/page.py").run()
        first, times = time.perf_counter() - began, []
        if at.exception:
            raise SystemExit(str(at.exception))
        for _ in range(args.repeats):
            began = time.perf_counter()
            at.run()
            times.append(time.perf_counter() - began)
    print(
        f"{args.runs} runs: first visit {first:.2f} s, a rerun {statistics.median(times):.2f} s"
        f" (median of {args.repeats}; on the server, without drawing)"
    )


if __name__ == "__main__":
    main()
