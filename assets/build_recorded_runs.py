"""Record the runs that the first page of the explorer shows, as ordinary run folders.

    python assets/build_recorded_runs.py [--to assets/recorded/demo] [--seeds 31,777,2025,12345]

The bundled model is scored, and tuned on English by five methods with four seeds each: the circuit,
near-zero heads, random heads, everything, and everything held. All have the settings of SETTINGS,
which were chosen on train and validation rows (`python -m benchmarks.demo_settings`). Each run is
measured on validation rows while it is tuned, and once before and after on test rows. Run folders
lose what tells of the machine (`ctsft.jobs.bundle`); deltas are left out. A method that is there
already is not recorded again.
"""

import argparse
import getpass
import hashlib
import json
import os
import socket
import tempfile
from pathlib import Path

ASSETS = Path(__file__).resolve().parent
SETTINGS = {"target": "english", "n": 50, "k": 6}
CONFIG = {"epochs": 6, "learning_rate": 3e-3, "eval_every": 2}
HOLD = 9.0  # the usual strength
SEEDS = "31,777,2025,12345"
METHODS = ("circuit", "near_zero", "random", "full", "full_held")
MOST_BYTES = 3 * 2**20
SCORES = "demo-scores"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=ASSETS / "recorded" / "demo")
    parser.add_argument("--seeds", default=SEEDS)
    parser.add_argument("--methods", default=",".join(METHODS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["CTSFT_HOME"] = home
        record_all(args.methods.split(","), [int(seed) for seed in args.seeds.split(",")], args.to)
    about = {"title": "Recorded runs of the bundled model", "opened": 0.0}
    (args.to / "exploration.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    write_receipts(args.to)
    check(args.to)


def write_receipts(to: Path):
    """For the first screen, which imports no torch."""
    from ctsft.receipts import of_runs

    of_runs.write_receipts(to)


def record_all(methods: list[str], seeds: list[int], to: Path):
    from ctsft.jobs.requests import ScoreRequest
    from ctsft.jobs.scoring import score

    remember_evaluations()
    recorded(ScoreRequest(name="scores", cache=False), SCORES, score, to)
    for seed in seeds:
        for method in methods:
            run_id = f"demo-{method.replace('_', '-')}-{seed}"
            if not (to / "runs" / run_id).is_dir():
                tuned(method, seed, run_id, to)
                print(run_id, flush=True)


def remember_evaluations():
    """The same weights give the same answers to the same rows: what they were is looked up. All
    runs begin with the same weights.
    """
    from ctsft.data.task import rows_hash
    from ctsft.tuning import evaluation_sets

    evaluate, known = evaluation_sets.evaluate, {}

    def remembered(model, task, rows):
        weights = hashlib.sha256()
        for value in model.hf.state_dict().values():
            weights.update(value.detach().numpy().tobytes())
        key = weights.hexdigest(), rows_hash(rows)
        if key not in known:
            known[key] = evaluate(model, task, rows)
        return known[key]

    evaluation_sets.evaluate = remembered


def tuned(method: str, seed: int, run_id: str, to: Path):
    from ctsft.jobs.requests import FinetuneRequest, Scoring, Tuning
    from ctsft.jobs.tuning import tune
    from ctsft.tuning.config import TuneConfig

    held = method == "full_held"
    what = "full" if held else method
    heads = {"scores": SCORES} if what != "full" else {}
    tuning = Tuning(what=what, shares=False, **SETTINGS, **heads)
    config = TuneConfig(seed=seed, hold=HOLD if held else 0.0, **CONFIG)
    # the seed draws random heads, too
    scoring = Scoring(seed=seed) if what == "random" else Scoring()
    recorded(FinetuneRequest(tuning=tuning, config=config, scoring=scoring), run_id, tune, to)


def recorded(request, run_id: str, job, to: Path):
    """Run a job in the temporary home, and copy its folder without what tells of the machine."""
    from ctsft import runs
    from ctsft.jobs.bundle import bundled_files, portable

    with runs.record(request, run_id) as run:
        job(run, request)
    folder = to / "runs" / run_id
    if folder.is_dir():  # the scores, which each call needs in its own home
        return
    folder.mkdir(parents=True)
    for path in bundled_files(run, deltas=False):
        (folder / path.name).write_bytes(portable(path))


def check(to: Path):
    """Small enough, and nothing tells of the machine or its user."""
    files = [path for path in to.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if size > MOST_BYTES:
        raise SystemExit(f"{size:,} bytes, more than {MOST_BYTES:,}")
    private = [socket.gethostname(), str(Path.home()) + "/", f"/{getpass.getuser()}/", str(ASSETS)]
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".safetensors":  # numbers may spell a short name by chance
            content = content[: 8 + int.from_bytes(content[:8], "little")]
        for text in private:
            if text.encode() in content:
                raise SystemExit(f"{path} holds {text!r}")
    print(f"{to}: {len(files)} files, {size:,} bytes")


if __name__ == "__main__":
    main()
