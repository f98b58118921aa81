"""The choice of learning rates: by the target on validation rows, and no test row is seen."""

import json

import pytest

from ctsft import runs
from ctsft.experiment import (
    runner,
    trial_context,
    trials,
    workers,
)
from ctsft.experiment.rate_choice import choose_rates
from ctsft.experiment.trial_context import TrialContext
from ctsft.jobs.experiment_design import Design
from ctsft.jobs.requests import ExperimentRequest
from ctsft.tuning import evaluation_sets
from support.errors import said

GRID = {"name": "one", "epochs": 1, "learning_rates": [1e-3, 1e-2], "choose": "valid"}


def seen_rows(monkeypatch) -> list:
    """Texts that the model is asked about, or tuned on, from now on."""
    seen = []

    def spy(module, name, of):
        real = getattr(module, name)

        def call(*args, **more):
            seen.extend(row.text for row in of(args))
            return real(*args, **more)

        monkeypatch.setattr(module, name, call)

    for module in (trials, evaluation_sets):
        spy(module, "evaluate", lambda args: args[2])
    spy(trials, "finetune", lambda args: [*args[3], *sum(args[4].values(), [])])
    spy(trial_context, "advise_heads", lambda args: [*args[2], *args[3]])
    return seen


def test_the_choice_of_learning_rates_sees_no_test_row(words, monkeypatch):
    design = Design(**words | {"methods": ["advised", "full"], "settings": [GRID]})
    task = TrialContext(design, None, "none").task
    secret = {
        row.text for language in ("indonesian", "javanese") for row in task.load(language, "test")
    } - {
        row.text
        for language in ("indonesian", "javanese")
        for split in ("train", "valid")
        for row in task.load(language, split)
    }
    request = ExperimentRequest(design=design, file="design.json")
    with runs.record(request, "exp") as run:
        runner.shared_scores(run, request)
        context = TrialContext(design, None, "exp")
        schedule = runner.TrialSchedule(run, request, context)
        seen = seen_rows(monkeypatch)
        rates = schedule.choose_rates()
        assert seen and not secret & set(seen)
        schedule.run_trials(rates)
        # the control: the spy does see test rows once they are asked for
        assert secret & set(seen)
    written = json.loads(run.file("choices.json").read_text())
    assert {
        (one["setting"], one["method"]): one["learning_rate"] for one in written
    } == rates and len(written[0]["tried"]) == 2
    grid = [one for one in run.events() if one["kind"] == "grid"]
    assert len(grid) == 4 and all(
        one["split"] == "valid" and one["cell"]["seed"] == 1 for one in grid
    )
    assert all(
        trial.learning_rate == rates[trial.setting, trial.method] for trial in design.trials(rates)
    )
    monkeypatch.setattr(workers, "run_trial", lambda *_: pytest.fail("a grid trial was run again"))
    assert runner.TrialSchedule(run, request, context).choose_rates() == rates


def test_the_rate_with_the_best_target_is_chosen_and_the_source_breaks_ties():
    design = Design(
        targets=["a", "b"], methods=["full", "norms"], n=[5], seeds=[1], settings=[GRID]
    )
    grid = design.grid()
    assert (
        len(grid) == 8 and {trial.split for trial in grid} == {"valid"} and design.n_trials == 8 + 4
    )
    figures = {
        ("full", 1e-3): (0.5, 0.9),
        ("full", 1e-2): (0.6, 0.1),
        ("norms", 1e-3): (0.5, 0.8),
        ("norms", 1e-2): (0.5, 0.7),
    }
    measured = {
        trial.key: dict(
            zip(("target", "source"), figures[trial.method, trial.learning_rate], strict=True)
        )
        for trial in grid
    }
    chosen = {
        method: one["learning_rate"] for (_, method), one in choose_rates(design, measured).items()
    }
    assert chosen == {"full": 1e-2, "norms": 1e-3}
    failed = next(
        trial.key for trial in grid if (trial.method, trial.learning_rate) == ("full", 1e-2)
    )
    # a rate with a trial that failed is not chosen
    del measured[failed]
    assert choose_rates(design, measured)["one", "full"]["learning_rate"] == 1e-3
    said(lambda: choose_rates(design, {}), "'full'", "'one'")
