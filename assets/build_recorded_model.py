"""Record an exploration of a real pretrained model, SmolLM2-135M (Apache-2.0), which the explorer
shows without its weights.

    python assets/build_recorded_model.py --smollm2 FOLDER --work DIR [--steps competence,scores]

FOLDER is the model as published (huggingface.co/HuggingFaceTB/SmolLM2-135M); DIR holds what is
computed until all is there: a step that was done there is not done again, so the script can be
stopped, and two steps can run at once. Steps:

    competence   all parameters are tuned on the bundled English texts (the published model
                 answers about half of the validation texts right)
    scores       the heads by each method, on the same texts
    validation   the rankings against mean ablation and random circuits, on validation texts
    tuning       English to Indonesian, by each method of METHODS with each seed
    copy         the run folders without weights, machine and deltas, their receipts, and
                 model.json: the shape and the fingerprint of the tuned model, by which pages know
                 it
"""

import argparse
import json
import os
from pathlib import Path

from build_recorded_runs import (
    ASSETS,
    HOLD,
    MOST_BYTES,
    check,
    remember_evaluations,
    write_receipts,
)

NAME = "recorded/SmolLM2-135M"  # what requests, scores and pages call the tuned model
SOURCE, TARGET = "english", "indonesian"
COMPETENCE = {"epochs": 4, "learning_rate": 1e-4, "eval_every": 16}
SIZE = 12  # texts that the heads are scored on
SCORES = {
    "cdt": {},
    "atp": {"method": "atp"},
    "ig": {"method": "ig"},
    "ablation": {"method": "ablation"},
    "symmetric": {"rules": "symmetric"},
}
CONFIG = {"epochs": 3, "learning_rate": 2e-4, "eval_every": 4}
SETTINGS = {"target": TARGET, "n": 50, "k": 6, "final_split": None, "shares": False}
SEEDS = "31,777"
METHODS = "full,full_held,circuit,near_zero"
CHECKS = {"rows": 48, "n_random": 20, "pools": 0}
STEPS = "competence,scores,validation,tuning,copy"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smollm2", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=ASSETS / "recorded" / "smollm2")
    parser.add_argument("--steps", default=STEPS)
    parser.add_argument("--scores", default=",".join(SCORES))
    parser.add_argument("--seeds", default=SEEDS)
    parser.add_argument("--methods", default=METHODS)
    args = parser.parse_args()
    published, to, steps = args.smollm2.resolve(), args.to.resolve(), args.steps.split(",")
    args.work.mkdir(parents=True, exist_ok=True)
    os.chdir(args.work)  # NAME is a folder of it
    os.environ["CTSFT_HOME"] = str(Path.cwd() / "home")
    if "competence" in steps:
        competence(published)
    if "scores" in steps:
        for name in args.scores.split(","):
            scored(name)
    if "validation" in steps:
        validated()
    if "tuning" in steps:
        remember_evaluations()
        for seed in map(int, args.seeds.split(",")):
            for method in args.methods.split(","):
                tuned(method, seed)
    if "copy" in steps:
        copy(to)


def done(run_id: str) -> bool:
    from ctsft import runs

    return run_id in [run.id for run in runs.list_runs() if run.status().state == "done"]


def record(request, run_id: str, job):
    """Run a job in the folder's home, unless it is done already."""
    from ctsft import runs

    if done(run_id):
        return
    with runs.record(request, run_id) as run:
        job(run, request)
    print(run_id, flush=True)


def subject(model: str = NAME):
    from ctsft.jobs.requests import Subject

    return Subject(model=model, language=SOURCE)


def competence(published: Path):
    from ctsft import runs
    from ctsft.jobs.requests import FinetuneRequest, Tuning
    from ctsft.jobs.tuning import tune
    from ctsft.tuning.config import TuneConfig

    tuning = Tuning(
        target=SOURCE, what="full", n=0, final_split=None, shares=False, save_model=True
    )
    config = TuneConfig(**COMPETENCE)
    request = FinetuneRequest(subject=subject(str(published)), tuning=tuning, config=config)
    record(request, "smollm2-competence", tune)
    link = Path(NAME)
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(runs.get("smollm2-competence").file("model").resolve())


def scored(name: str):
    from ctsft.jobs.requests import ScoreRequest, Scoring
    from ctsft.jobs.scoring import score

    scoring = Scoring(size=SIZE, **SCORES[name])
    record(ScoreRequest(subject=subject(), scoring=scoring), f"smollm2-{name}", score)


def validated():
    from ctsft.circuit.checks import Checks
    from ctsft.jobs.faithfulness import validate
    from ctsft.jobs.requests import ValidateRequest

    request = ValidateRequest(subject=subject(), checks=Checks(size=SIZE, **CHECKS))
    record(request, "smollm2-validation", validate)


def tuned(method: str, seed: int):
    from ctsft.jobs.requests import FinetuneRequest, Scoring, Tuning
    from ctsft.jobs.tuning import tune
    from ctsft.tuning.config import TuneConfig

    held = method == "full_held"
    what = "full" if held else method
    heads = {"scores": "smollm2-cdt"} if what != "full" else {}
    request = FinetuneRequest(
        subject=subject(),
        scoring=Scoring(size=SIZE),
        tuning=Tuning(what=what, **SETTINGS, **heads),
        config=TuneConfig(seed=seed, hold=HOLD if held else 0.0, **CONFIG),
    )
    record(request, f"smollm2-{method.replace('_', '-')}-{seed}", tune)


def copy(to: Path):
    """Every run but the competence stage, of which the accuracies remain."""
    from ctsft import runs
    from ctsft.jobs.bundle import bundled_files, portable
    from ctsft.runs.recorded_models import FILE

    for run in runs.list_runs():
        if run.id == "smollm2-competence" or run.status().state != "done":
            continue
        folder = to / "runs" / run.id
        folder.mkdir(parents=True, exist_ok=True)
        for path in bundled_files(run, deltas=False):
            if path.name == "means.safetensors":
                halved(path, folder / path.name)
            else:
                (folder / path.name).write_bytes(portable(path))
    described = description()
    (to / FILE).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    about = {"title": "Recorded exploration of SmolLM2-135M", "opened": 0.0}
    (to / "exploration.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    (to / "README.md").write_text(card(described), encoding="utf-8")
    write_receipts(to)
    check(to)
    size = sum(path.stat().st_size for path in to.parent.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise SystemExit(f"{to.parent}: {size:,} bytes, more than {MOST_BYTES:,}")


def halved(source: Path, target: Path):
    """The means in float16: half the bytes, for pictures."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(source, "pt") as file:
        tensors = {name: file.get_tensor(name).half() for name in file.keys()}  # noqa: SIM118
        save_file(tensors, target, file.metadata())


def description() -> dict:
    """The content of model.json."""
    from ctsft import runs
    from ctsft.runs import results

    config = json.loads((Path(NAME) / "config.json").read_text(encoding="utf-8"))
    competence = results.evaluations(runs.get("smollm2-competence"))
    before, after = (competence[i]["accuracy"][SOURCE] for i in (0, -1))
    rows = results.result(runs.get("smollm2-competence"))["n"]
    accuracy = {SOURCE: after}
    tuned_runs = [results.evaluations(run) for run in runs.list_runs("finetune")]
    for evaluations in tuned_runs:
        if evaluations and TARGET in evaluations[0]["accuracy"]:
            accuracy[TARGET] = evaluations[0]["accuracy"][TARGET]
    return {
        "name": NAME,
        "title": "SmolLM2-135M",
        "hub": "HuggingFaceTB/SmolLM2-135M",
        "licence": "Apache-2.0",
        "made": f"All of its parameters were tuned on {rows} of the bundled English texts"
        f" ({COMPETENCE['epochs']} passes), which raised its accuracy on the validation texts from"
        f" {before:.2f} to {after:.2f}.",
        "config": {key: value for key, value in config.items() if key != "transformers_version"},
        "fingerprint": runs.get("smollm2-cdt").request.facts.model_fingerprint,
        "task": "demo",
        "source": SOURCE,
        "target": TARGET,
        "size": SIZE,
        "accuracy": accuracy,
    }


def card(described: dict) -> str:
    """README.md beside the runs."""
    config = described["config"]
    template = (ASSETS / "cards" / "smollm2.md").read_text(encoding="utf-8")
    return template.format(
        **described,
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        n=SETTINGS["n"],
        epochs=CONFIG["epochs"],
        rate=f"{CONFIG['learning_rate']:g}",
    )


if __name__ == "__main__":
    main()
