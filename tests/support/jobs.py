"""Jobs run in this process, with small settings."""

import json

from ctsft import runs
from ctsft.cli.run import job_of
from ctsft.jobs import requests
from ctsft.tuning import config

SMALL = requests.Scoring(size=6)
CONFIG = config.TuneConfig(epochs=3, learning_rate=1e-2, batch_size=4, eval_every=2)


def done(request, run_id=None):
    """The finished run of a request, and the job's summary."""
    with runs.record(request, run_id) as run:
        summary = job_of(request.kind)(run, request)
    assert json.loads(run.file("result.json").read_text()) | {"run": run.id} == summary
    return run, summary


def finetune_request(subject, config=CONFIG, scoring=SMALL, **changes):
    tuning = requests.Tuning(**{"target": "javanese"} | changes)
    return requests.FinetuneRequest(subject=subject, scoring=scoring, tuning=tuning, config=config)


def tuned(subject, scored, run_id=None, **changes):
    settings = {"scores": scored.id, "k": 3, "n": 12} | changes
    return done(finetune_request(subject, **settings), run_id)
