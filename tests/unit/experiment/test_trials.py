"""What a trial is: the fine-tuning job of its command, on rows that discovery never saw."""

import pytest
import torch

from ctsft import runs
from ctsft.experiment.results import finished_rows
from ctsft.experiment.trial_context import TrialContext
from ctsft.experiment.trials import (
    copied,
    finished,
    request_of_trial,
    run_trial,
    trial_run_id,
)
from ctsft.jobs import requests, tuning_table
from ctsft.jobs import tuning as jobs_tuning
from ctsft.jobs.command_line import arguments
from ctsft.jobs.experiment_design import Design
from ctsft.jobs.requests import Subject, same_question
from ctsft.model.evaluation import evaluate
from ctsft.tuning import config
from ctsft.tuning.finetune import finetune
from ctsft.tuning.recipes import trainable_of
from support.errors import said
from support.experiment import go
from support.shell import parsed


def test_a_trial_is_what_its_command_does(words, monkeypatch):
    """The same numbers from the fine-tuning job with the words of the trial's request, in the order
    of an experiment that ran others before.
    """
    design = Design(
        **words
        | {
            "methods": ["full", "advised", "random", "lora", "full_held", "circuit_held", "replay"],
            "share": True,
            "related": ["acehnese"],
            "related_tasks": [f"{words['task']}:javanese"],
            "perplexity": True,
            "seeds": [7],
        }
    )
    go(design)
    context = TrialContext(design, None, "exp")
    for trial in design.trials({}):
        result = finished("exp", trial)
        request = requests.request_of(runs.get(trial_run_id("exp", trial)))
        assert same_question(request, request_of_trial(context, trial, "exp"))
        # without the experiment: what its shell command asks for
        alone_request = parsed([*arguments(request), "--device", "cpu"])
        assert alone_request.tuning == request.tuning and alone_request.config == request.config
        with runs.record(alone_request) as run:
            alone = jobs_tuning.tune(run, alone_request)
        assert (
            alone["history"][-1]["metrics"] == result["after"]
            and alone["trainable"] == result["trainable"]
        )
        assert alone["shares"] == result["shares"] and len(result["shares"]["points"]) == 11
        assert alone["outside"] == result["outside"]
        texts, again = result["perplexity"]["after"], alone["history"][-1]["perplexity"]
        assert texts["source texts"] == pytest.approx(again["source texts"], rel=1e-5)
        assert result["perplexity"]["before"] != texts
        assert result["outside"]["identical"] == result["outside"]["parameters"]
        held, replayed = request.config.hold, request.config.replay
        assert (held == 9, replayed == 6) == ("held" in trial.method, trial.method == "replay")
        assert alone["history"][-1]["loss"] == pytest.approx(result["loss"], rel=1e-5) and set(
            result["after"]
        ) == {"indonesian", "javanese", "acehnese", "reviews (javanese)"}


def test_evaluations_on_the_way_are_of_validation_rows_and_change_nothing(words):
    watched = Design(
        **words
        | {
            "seeds": [1],
            "eval_every": 1,
            "settings": [words["settings"][0] | {"batch_size": 2}],
        }
    )
    context = TrialContext(watched, None, "exp")
    go(watched)
    result = finished("exp", watched.trials({})[1])
    assert [row["step"] for row in result["course"]] == [0, 1, 2, 3] and result["course"][0][
        "metrics"
    ].keys() == {"indonesian", "javanese"}
    assert result["course"][0]["metrics"]["javanese"]["rows"] == len(
        context.rows("javanese", "valid")
    ) and result["after"]["javanese"]["rows"] == len(context.rows("javanese", "test"))
    go(watched.model_copy(update={"eval_every": 0}), "quiet")
    quiet = finished("quiet", watched.trials({})[1])
    assert quiet["after"] == result["after"] and quiet["course"] == []
    trial = watched.trials({})[1]
    asked = arguments(request_of_trial(context, trial, "exp"))
    assert "--eval-split" not in asked and "--final-split" not in asked, "the usual ones"
    asked = arguments(request_of_trial(TrialContext(Design(**words), None, "exp"), trial, "exp"))
    assert asked[asked.index("--eval-split") + 1] == "test"
    assert asked[asked.index("--final-split") + 1] == ""


def test_target_rows_come_from_the_pool_that_discovery_never_saw(words):
    design = Design(**words)
    context = TrialContext(design, None, "none")
    train = context.task.load("indonesian", "train")
    from ctsft.data.registry import load_task

    pool_a, pool_b = load_task(design.task).pools(train)
    assert {row.id for row in pool_a}.isdisjoint(row.id for row in pool_b)
    trial = design.trials({})[0]
    assert {row.id for row in context.train_rows(trial)} <= {
        row.id for row in context.task.pools(context.task.load("javanese", "train"))[1]
    }
    assert torch.equal(
        next(context.fresh(design.model).hf.parameters()), next(context.model.hf.parameters())
    )
    before = context.fresh(design.model).fingerprint
    run_trial_quietly(context, design)
    # put back
    assert context.model.fingerprint != before and context.fresh(design.model).fingerprint == before


def run_trial_quietly(context, design):
    run_trial(
        context, next(trial for trial in design.trials({}) if trial.method == "full"), lambda: False
    )


def test_curves_by_validation_and_one_final_figure_by_test(words):
    """From the shell's job: `final_split` is measured before and after only, and Compare shows
    it.
    """
    tuning = requests.Tuning(
        target="javanese",
        what="norms",
        n=6,
        eval_split="valid",
        final_split="test",
        related=("acehnese",),
        pool="B",
    )
    request = requests.FinetuneRequest(
        subject=Subject(words["model"], words["task"], device="cpu"),
        tuning=tuning,
        config=config.TuneConfig(epochs=2, learning_rate=5e-2, batch_size=2),
    )
    with runs.record(request) as run:
        summary = jobs_tuning.tune(run, request)
    final, (shown,) = summary["final"], tuning_table.table_rows()
    assert (
        set(summary["history"][0]["accuracy"])
        == set(final["before"])
        == {"indonesian", "javanese", "acehnese"}
    )
    assert (final["split"], shown["target_after"]) == (
        "test",
        final["after"]["javanese"]["accuracy"],
    )
    assert (
        final["forgetting"]["accuracy"]
        == final["before"]["indonesian"]["accuracy"] - final["after"]["indonesian"]["accuracy"]
    )
    assert (
        final["before"]["javanese"]["rows"] == 9
        and shown["gain"] == final["plasticity"]["accuracy"]
    )
    for wrong, words in (
        ({"pool": "C"}, "'C'"),
        ({"pool": "A"}, "all, B"),
        ({"n": -1}, "0 for all"),
    ):
        tuning = requests.Tuning(target="javanese", what="norms", **wrong)
        refused = request.model_copy(update={"tuning": tuning})
        said(lambda refused=refused: jobs_tuning.tune(run, refused), words)


def test_a_fixed_share_of_the_change_is_a_method_of_its_own(words):
    """Measured with the scaled delta by hand; what follows the measurement has the whole change."""
    design = Design(
        **words | {"methods": ["full"], "seeds": [1], "tested_share": 0.5, "share": True}
    )
    run, _ = go(design)
    (trial,) = design.trials({})
    stored = finished("exp", trial)
    context = TrialContext(design, None, "exp")
    result = finetune(
        context.start_model(trial),
        context.task,
        trainable_of(context.model, "full"),
        context.train_rows(trial),
        {},
        context.config(trial),
    )
    delta = copied(result.delta)
    model = context.start_model(trial)
    delta.scaled(0.5).write(model)
    rows = context.evaluation_rows("javanese", "test")
    assert evaluate(model, context.task, rows) == stored["at_share"]["after"]["javanese"]
    delta.write(model)
    assert evaluate(model, context.task, rows) == stored["after"]["javanese"]
    assert stored["shares"]["points"][-1]["share"] == 1
    whole, half = finished_rows(run, design)[0]
    assert (whole["method"], half["method"]) == ("full", "half of full")
    assert half["target_after"] == stored["at_share"]["after"]["javanese"]["accuracy"]
    assert half["answers"]["target"][1].count("1") == round(half["target_after"] * len(rows))
    assert "half of full" in run.file("table.md").read_text()


def test_related_abilities_are_measured_for_the_result_only(words):
    design = Design(
        **words
        | {
            "methods": ["full"],
            "seeds": [1],
            "perplexity": True,
            "related_tasks": [words["task"]],
            "settings": [
                words["settings"][0] | {"learning_rates": [1e-3, 1e-2], "choose": "valid"}
            ],
        }
    )
    run, _ = go(design)
    grid = run_trial(TrialContext(design, None, "exp"), design.grid()[0], lambda: False)
    assert grid["perplexity"] is None and set(grid["after"]) == {"indonesian", "javanese"}
    rows, _ = finished_rows(run, design)
    assert rows[0]["perplexity_before"] != rows[0]["perplexity_after"] > 0
    assert "reviews (indonesian)_after" in rows[0]
    table = run.file("table.md").read_text()
    assert "Related abilities" in table and "| perplexity |" in table
