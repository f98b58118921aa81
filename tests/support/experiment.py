"""An experiment that is run in this process, and result rows of one by hand."""

from ctsft import runs
from ctsft.experiment.runner import run_experiment
from ctsft.jobs.experiment_design import Design
from ctsft.jobs.requests import ExperimentRequest


def go(design: Design, run_id="exp", jobs=1):
    """The run and the summary of an experiment."""
    request = ExperimentRequest(design=design, file="design.json", jobs=jobs)
    with runs.record(request, run_id) as run:
        return run, run_experiment(run, request)


def row(method, target, seed, after, source, n=5):
    figures = {
        "target_before": 0.25,
        "source_before": 0.75,
        "target_after": after,
        "source_after": source,
        "plasticity": after - 0.25,
        "forgetting": 0.75 - source,
    }
    return (
        {
            "setting": "one",
            "method": method,
            "target": target,
            "n": n,
            "seed": seed,
            "learning_rate": 1e-3,
        }
        | figures
        | {f"{name}_f1": value for name, value in figures.items()}
    )


ROWS = [
    row("circuit", "jv", 1, 0.5, 0.7),
    row("circuit", "jv", 2, 0.7, 0.7),
    row("full", "jv", 1, 0.4, 0.5),
    row("full", "jv", 2, 0.4, 0.3),
    row("circuit", "su", 1, 0.3, 0.5),
    row("full", "su", 1, 0.2, 0.1),
]
