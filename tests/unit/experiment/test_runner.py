"""An experiment: each trial once whatever happens, stopped, killed, failed, with two workers."""

import json
import os
import signal
import time

import pytest

from ctsft import runs
from ctsft.experiment import (
    results,
    runner,
    trials,
    workers,
)
from ctsft.experiment.results import finished_rows
from ctsft.experiment.trials import (
    finished,
    trial_run_id,
)
from ctsft.jobs import tuning_table
from ctsft.jobs.experiment_design import Design, Trial
from ctsft.jobs.reporter import Stopped
from ctsft.runs import results as runs_results
from ctsft.tuning import finetune
from support.errors import said
from support.experiment import go
from support.shell import parsed
from support.waiting import wait_until


def test_an_experiment_runs_each_trial_once_and_writes_its_tables(words, monkeypatch):
    run, summary = go(Design(**words))
    assert (summary["cells"], summary["of"], summary["failed"]) == (4, 4, []) and summary[
        "source"
    ] == "indonesian"
    compared = tuning_table.table_rows()
    assert {(one["what"], one["seed"]) for one in compared} == {
        ("near_zero", 1),
        ("near_zero", 2),
        ("full", 1),
        ("full", 2),
    }
    assert all(
        one["state"] == "done" and one["run"].startswith("exp-") and one["source_before"] == 1
        for one in compared
    )
    first_run = runs.get(compared[0]["run"])
    assert len(runs_results.evaluations(first_run)) == 2 and set(
        runs_results.evaluations(first_run)[0]["metrics"]
    ) == {
        "indonesian",
        "javanese",
    }
    rows, _ = finished_rows(runs.get("exp"), Design(**words))
    assert (
        len(rows) == 4
        and rows[0]["plasticity"] == rows[0]["target_after"] - rows[0]["target_before"]
    )
    assert all(run.file(name).stat().st_size for name in results.FILES)
    status = runs.get("exp").status()
    assert status.state == "done" and status.stage == "trial 4 of 4"
    with monkeypatch.context() as patch:
        patch.setattr(
            workers, "record_trial", lambda *_: pytest.fail("a finished trial was run again")
        )
        assert go(Design(**words))[1] == summary
    said(lambda: go(Design(**words | {"n": [3]})), "another design")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n": [999]}, "n = 999 was requested, and pool B of"),
        ({"targets": ["klingon"]}, "klingon"),
        ({"related_tasks": ["nowhere.json"]}, "nowhere.json"),
        ({"perplexity": True, "text": "nowhere.txt"}, "nowhere.txt"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_scored(words, monkeypatch, change, sentence):
    monkeypatch.setattr(runner, "shared_scores", lambda *_: pytest.fail("heads were scored"))
    said(lambda: go(Design(**words | change)), sentence)


def test_an_experiment_that_is_cut_off_goes_on_with_the_same_figures(words, monkeypatch):
    whole = go(Design(**words), "whole")[1]
    real, ran = trials.run_trial, []

    def dies(context, trial, *rest):
        ran.append(trial.key)
        if len(ran) == 3:
            raise KeyboardInterrupt  # SIGTERM, in the middle of a trial
        return real(context, trial, *rest)

    monkeypatch.setattr(trials, "run_trial", dies)
    with pytest.raises(KeyboardInterrupt):
        go(Design(**words), "cut")
    assert len(tuning_table.table_rows()) == 4 + 2 and runs.get("cut").status().state == "stopped"
    lost = runs.run_folder(trial_run_id("cut", Design(**words).trials({})[2]))
    # and as SIGKILL would have left it: begun, by nobody who lives
    lost.mkdir()
    (lost / "status.json").write_text('{"state": "running", "pid": 999999, "pid_started": 1.0}')
    (lost / "events.jsonl").write_text('{"kind": "evaluation", "step"')
    summary = go(Design(**words), "cut")[1]
    # two before, the one that was cut off twice, one after
    assert len(ran) == 5 and len(set(ran)) == 4
    assert summary["cells"] == 4 and [{**one} for one in summary["pairs"]] == whole["pairs"]


def test_a_stop_keeps_finished_cells(words, monkeypatch):
    real = trials.run_trial

    def stopped(context, trial, stop, *rest):
        if trial.method == "full":
            runs.get("exp").file("stop").write_text("keep")
        return real(context, trial, stop, *rest)

    monkeypatch.setattr(trials, "run_trial", stopped)
    with pytest.raises(Stopped):
        go(Design(**words))
    assert [one["what"] for one in tuning_table.table_rows()] in (
        ["near_zero"],
        ["full", "near_zero"],
    )


def test_a_trial_that_fails_is_recorded_and_does_not_end_the_others(words, monkeypatch, capfd):
    real = finetune.finetune

    def fails(model, task, moves, *rest, **more):
        if moves.name == "full":
            raise RuntimeError("out of luck\nand more")
        return real(model, task, moves, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(trials, "finetune", fails)
        run, summary = go(Design(**words))
    assert (
        summary["cells"] == 2 and [one["error"] for one in summary["failed"]] == ["out of luck"] * 2
    )
    trial = Trial(**summary["failed"][0]["cell"])
    failed_run = runs.get(trial_run_id("exp", trial))
    assert (
        failed_run.status().state == "failed"
        and "out of luck" in failed_run.log_tail()
        and "failed: out of luck" in capfd.readouterr().err
    )
    assert go(Design(**words))[1]["cells"] == 4  # tried again
    monkeypatch.setattr(trials, "finetune", lambda *_: 1 / 0)
    said(lambda: go(Design(**words), "none"), "None of the 4 trials", "division")


def test_workers_come_to_the_same_figures(words):
    one = go(Design(**words | {"seeds": [1]}), "one")[1]
    several = go(Design(**words | {"seeds": [1]}), "two", jobs=2)[1]
    assert several["cells"] == one["cells"] == 2 and several["pairs"] == one["pairs"]


@pytest.mark.usefixtures("fork_server")
def test_an_experiment_that_was_killed_goes_on_to_the_figures_of_a_whole_one(words, tmp_path):
    """SIGKILL of the real process between and within trials; `runs resume` runs only what was not
    finished.
    """
    path = tmp_path / "design.json"
    path.write_text(json.dumps(words))
    run = runs.start(parsed(["experiment", str(path), "--device", "cpu"]))

    def until(done):
        end = time.monotonic() + 120
        while not done():
            assert time.monotonic() < end and run.status().state in (
                "queued",
                "running",
                "done",
            ), run.log_tail()
            time.sleep(0.05)

    until(lambda: finished(run.id, Design(**words).trials({})[0]))
    os.kill(run.status().pid, signal.SIGKILL)
    first = [trial.key for trial in Design(**words).trials({}) if finished(run.id, trial)]
    when = {key: runs.get(f"{run.id}-{key}").status().finished for key in first}
    # a busy machine takes a moment to end a killed process
    wait_until(lambda: run.status().state != "running")
    assert 1 <= len(first) < 4 and run.status().state == "lost"
    runs.resume(run)
    until(lambda: run.status().state == "done")
    # these were not run again
    assert {key: runs.get(f"{run.id}-{key}").status().finished for key in first} == when
    assert runs_results.result(run)["pairs"] == go(Design(**words), "whole")[1]["pairs"]
