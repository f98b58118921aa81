"""Jobs run in this process, with small settings."""

import json

from ctsft import runs
from ctsft.jobs import requests
from ctsft.jobs import tuning as jobs_tuning
from ctsft.tuning import config

SMALL = requests.Scoring(size=6)


def done(kind, work, run_id=None):
    with runs.record(kind, [kind], run_id=run_id) as run:
        summary = work(run)
    assert json.loads(run.file("result.json").read_text()) | {"run": run.id} == summary
    return run, summary


CONFIG = config.TuneConfig(epochs=3, learning_rate=1e-2, batch_size=4, eval_every=2)


def tuned(subject, scored, run_id=None, **changes):
    tuning = requests.Tuning(
        **{"target": "javanese", "scores": scored.id, "k": 3, "n": 12} | changes
    )
    return done(
        "finetune", lambda run: jobs_tuning.tune(run, subject, SMALL, tuning, CONFIG), run_id
    )
