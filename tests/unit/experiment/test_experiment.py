"""Experiments: statistics by hand, tables, each trial once whatever happens, a failing trial, and a
choice that sees no test row.
"""

import json
import math
import os
import signal
import statistics
import time

import pytest
import torch

from ctsft import runs
from ctsft.experiment import (
    results,
    runner,
    tables,
    trial_context,
    trials,
    workers,
)
from ctsft.experiment.method_differences import judged
from ctsft.experiment.rate_choice import choose_rates
from ctsft.experiment.results import finished_rows
from ctsft.experiment.runner import run_experiment
from ctsft.experiment.trial_context import TrialContext
from ctsft.experiment.trials import (
    finished,
    request_of_trial,
    run_trial,
    trial_run_id,
)
from ctsft.jobs import requests, tuning_table
from ctsft.jobs import tuning as jobs_tuning
from ctsft.jobs.command_line import arguments
from ctsft.jobs.experiment_design import Design, Trial, read_design
from ctsft.jobs.reporter import Stopped
from ctsft.jobs.requests import ExperimentRequest, Subject, same_question
from ctsft.model.evaluation import metric_changes, metrics
from ctsft.runs import results as runs_results
from ctsft.tuning import config, finetune
from ctsft.utils.statistics import paired_difference, spread, spread_by_group
from support.errors import said
from support.experiment import ROWS
from support.shell import parsed
from support.waiting import wait_until

GRID = {"name": "one", "epochs": 1, "learning_rates": [1e-3, 1e-2], "choose": "valid"}


def go(design: Design, run_id="exp", jobs=1):
    request = ExperimentRequest(design=design, file="design.json", jobs=jobs)
    with runs.record(request, run_id) as run:
        return run, run_experiment(run, request)


def test_measures_are_those_of_the_confusion_counted_by_hand():
    gold, answers = list("aaaabbc"), list("aabbbac")
    found = metrics(gold, answers, ("a", "b", "c", "d"))
    # 2 tp / (gold + predicted)
    f1 = [2 * 2 / (4 + 3), 2 * 1 / (2 + 3), 1.0]  # no row has a d
    assert (
        found["accuracy"] == 4 / 7
        and found["rows"] == 7
        and found["macro_f1"] == pytest.approx(sum(f1) / 3)
        and found["right"] == "1100101"
    )
    assert found["recall"] == {"a": 0.5, "b": 0.5, "c": 1.0, "d": None}
    assert math.isnan(metrics([], [], ("a",))["accuracy"])
    after = {"s": {"accuracy": 0.5, "macro_f1": 0.4}, "t": {"accuracy": 0.75, "macro_f1": 0.7}}
    before = {"s": {"accuracy": 0.75, "macro_f1": 0.7}, "t": {"accuracy": 0.25, "macro_f1": 0.1}}
    found = metric_changes(before, after, "s", "t")
    assert (found["forgetting"]["accuracy"], found["plasticity"]["accuracy"]) == (0.25, 0.5)
    assert found["plasticity"]["macro_f1"] == pytest.approx(0.6)


def test_statistics_by_hand():
    one = spread([0.5, 0.7, 0.6, 0.8])
    assert one.mean == pytest.approx(0.65) and one.sd == pytest.approx(
        statistics.stdev([0.5, 0.7, 0.6, 0.8])
    ) == pytest.approx(0.12909944)
    # 3.182 is the .975 quantile of t with 3 degrees of freedom
    assert one.high - one.mean == pytest.approx(3.182446 * one.sd / 2) and one.count == 4
    assert (spread([0.4]).sd, spread([0.3, 0.3]).sd) == (None, 0)
    with pytest.raises(statistics.StatisticsError):
        spread([])
    rows = [
        {"method": method, "target": "t", "n": 5, "seed": seed, "x": x}
        for method, values in {"a": [1, 2, 3], "b": [0, 1, 5]}.items()
        for seed, x in enumerate(values)
    ]
    found = paired_difference(rows, "a", "b", lambda row: row["x"])
    assert found.over == spread([1, 1, -2]) and (found.unit, found.pairs) == ("seeds", 3)
    assert (
        paired_difference(rows[:3], "a", "b", lambda row: row["x"]) is None
        and paired_difference(rows[:4], "a", "b", lambda row: row["x"]).pairs == 1
    )
    assert spread_by_group(rows, ("method",), lambda row: row["x"])["b",].mean == 2


def pair(one, other, target, source, p=0.0001):
    return {
        "setting": "s",
        "one": one,
        "other": other,
        "target_mean": target,
        "source_mean": source,
        "target_p": p if target else 0.8,
        "source_p": p if source else 0.8,
    }


@pytest.mark.parametrize(
    "target, source, wanted",
    [
        (0.1, 0, "better on target"),
        (0.1, 0.1, "better on target and source"),
        (0, -0.1, "worse on source"),
        (0, 0, "no difference beyond chance"),
        (0.1, -0.1, "trades: target better, source worse"),
    ],
)
def test_the_verdict_speaks_of_adjusted_p_only(target, source, wanted):
    (found,) = judged([pair("a", "b", target, source)])
    assert found["verdict"] == wanted


def test_all_pairs_that_are_shown_are_judged_together():
    shown = [pair("a", other, 0.1, 0, p=0.01) for other in "bcd"]
    assert {one["verdict"] for one in judged(shown[:1])} == {"better on target"}
    assert {one["verdict"] for one in judged(shown)} == {"no difference beyond chance"}
    both = [shown[0], pair("b", "a", -0.1, 0, p=0.01)]
    assert [one["verdict"] for one in judged(both)] == [
        "better on target",
        "worse on target",
    ], "a pair and its reverse are one test"
    few = pair("a", "b", 0.1, 0.1) | {"target_p": None, "source_p": None}
    assert judged([few])[0]["verdict"] == "fewer than 3 languages or seeds"


def test_tables_in_the_layout_of_the_papers():
    text = tables.markdown(ROWS, "id")
    lines = [
        [trial.strip() for trial in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert lines[0] == ["target", "accuracy on", "before", "circuit", "full"]
    assert lines[2] == ["jv", "target", ".250", ".600 ± .141", ".400 ± .000"] and lines[3][:2] == [
        "su",
        "target",
    ]
    # seed 1 only: seed 2 lacks a target
    assert lines[4] == ["all targets", "target", ".250", ".400", ".300"]
    assert lines[5] == ["jv", "source", ".750", ".700 ± .000", ".400 ± .141"]
    assert (
        "| one | circuit − full | 1 seed | +.100 | +.300 | fewer than 3 languages or seeds |"
        in text
    )
    tex = tables.latex(ROWS)
    assert (
        r"jv & target & .250 & .600 $\pm$ .141 & .400 $\pm$ .000 \\" in tex
        and r"\multicolumn{2}{c}{$n=5$}" in tex
    )
    assert (
        tex.count("{") == tex.count("}") and "all targets" in tex and r"\_" in tables.escaped("a_b")
    )
    long = {(one["method"], one["target"], one["value"]): one for one in tables.long_table(ROWS)}
    assert long["circuit", "jv", "target_after"]["mean"] == 0.6 and long[
        "full", "jv", "forgetting"
    ]["mean"] == pytest.approx(0.35)
    assert (
        tables.as_csv(tables.long_table(ROWS)).splitlines()[0]
        == "setting,method,target,n,value,mean,sd,low,high,count,p"
        and tables.as_csv([]) == ""
    )


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
    own = runs.get(compared[0]["run"])
    assert len(runs_results.evaluations(own)) == 2 and set(
        runs_results.evaluations(own)[0]["metrics"]
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
            "seeds": [7],
        }
    )
    go(design)
    context = TrialContext(design, None, "exp")
    for trial in design.trials({}):
        kept = finished("exp", trial)
        request = requests.request_of(runs.get(trial_run_id("exp", trial)))
        assert same_question(request, request_of_trial(context, trial, "exp"))
        # without the experiment: what its shell command asks for
        alone_request = parsed([*arguments(request), "--device", "cpu"])
        assert alone_request.tuning == request.tuning and alone_request.config == request.config
        with runs.record(alone_request) as run:
            alone = jobs_tuning.tune(run, alone_request)
        assert (
            alone["history"][-1]["metrics"] == kept["after"]
            and alone["trainable"] == kept["trainable"]
        )
        assert alone["shares"] == kept["shares"] and len(kept["shares"]["points"]) == 11
        assert alone["outside"] == kept["outside"]
        assert kept["outside"]["identical"] == kept["outside"]["parameters"]
        held, replayed = request.config.hold, request.config.replay
        assert (held == 9, replayed == 6) == ("held" in trial.method, trial.method == "replay")
        assert alone["history"][-1]["loss"] == pytest.approx(kept["loss"], rel=1e-5) and set(
            kept["after"]
        ) == {"indonesian", "javanese", "acehnese"}


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
    kept = finished("exp", watched.trials({})[1])
    assert [row["step"] for row in kept["course"]] == [0, 1, 2, 3] and kept["course"][0][
        "metrics"
    ].keys() == {"indonesian", "javanese"}
    assert kept["course"][0]["metrics"]["javanese"]["rows"] == len(
        context.rows("javanese", "valid")
    ) and kept["after"]["javanese"]["rows"] == len(context.rows("javanese", "test"))
    go(watched.model_copy(update={"eval_every": 0}), "quiet")
    quiet = finished("quiet", watched.trials({})[1])
    assert quiet["after"] == kept["after"] and quiet["course"] == []
    trial = watched.trials({})[1]
    asked = arguments(request_of_trial(context, trial, "exp"))
    assert "--eval-split" not in asked and "--final-split" not in asked, "the usual ones"
    asked = arguments(request_of_trial(TrialContext(Design(**words), None, "exp"), trial, "exp"))
    assert asked[asked.index("--eval-split") + 1] == "test"
    assert asked[asked.index("--final-split") + 1] == ""


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
    own = runs.get(trial_run_id("exp", trial))
    assert (
        own.status().state == "failed"
        and "out of luck" in own.log_tail()
        and "failed: out of luck" in capfd.readouterr().err
    )
    assert go(Design(**words))[1]["cells"] == 4  # tried again
    monkeypatch.setattr(trials, "finetune", lambda *_: 1 / 0)
    said(lambda: go(Design(**words), "none"), "None of the 4 trials", "division")


def seen_rows(monkeypatch) -> list:
    """Texts that the model is asked about, or tuned on, from now on."""
    seen = []

    def spy(module, name, of):
        real = getattr(module, name)

        def call(*args, **more):
            seen.extend(row.text for row in of(args))
            return real(*args, **more)

        monkeypatch.setattr(module, name, call)

    for module in (trials, trial_context):
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
    found = {
        method: one["learning_rate"] for (_, method), one in choose_rates(design, measured).items()
    }
    assert found == {"full": 1e-2, "norms": 1e-3}
    failed = next(
        trial.key for trial in grid if (trial.method, trial.learning_rate) == ("full", 1e-2)
    )
    # a rate with a trial that failed is not chosen
    del measured[failed]
    assert choose_rates(design, measured)["one", "full"]["learning_rate"] == 1e-3
    said(lambda: choose_rates(design, {}), "'full'", "'one'")


def test_workers_come_to_the_same_figures(words):
    one = go(Design(**words | {"seeds": [1]}), "one")[1]
    several = go(Design(**words | {"seeds": [1]}), "two", jobs=2)[1]
    assert several["cells"] == one["cells"] == 2 and several["pairs"] == one["pairs"]


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


@pytest.mark.parametrize(
    ("change", "words_said"),
    [
        ({"methods": ["best"]}, ("'best'", "circuit")),
        ({"targets": []}, ("targets",)),
        ({"n": [0]}, ("n has to be",)),
        ({"typo": 1}, ("typo",)),
        ({"seeds": [1, 1]}, ("twice",)),
        ({"settings": [{"learning_rates": [1e-3]}]}, ("choose",)),
        ({"settings": [{"name": "a"}, {"name": "a"}]}, ("same name",)),
    ],
)
def test_a_design_that_cannot_be_run_is_refused_in_one_sentence(
    words, tmp_path, change, words_said
):
    path = tmp_path / "design.json"
    path.write_text(json.dumps(words | change))
    said(lambda: read_design(path), *words_said)


def test_what_the_rows_cannot_give_is_refused_before_any_cell(words):
    said(lambda: go(Design(**words | {"n": [500]})), "n = 500", "pool B")
    said(lambda: go(Design(**words | {"targets": ["latin"]}), "two"), "latin")
    said(lambda: go(Design(**words | {"k": 99}), "three"), "k is 99")
    said(lambda: go(Design(**words | {"discovery": {"sise": 6}}), "four"), "sise")
    said(lambda: go(Design(**words), "five", jobs=0), "jobs is 0")
    said(lambda: read_design("nowhere.json"), "nowhere.json")
    assert tuning_table.table_rows() == []


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


def test_advice_from_the_shell_names_heads_and_writes_a_circuit(words, capsys):
    from ctsft.circuit.circuit import Circuit
    from ctsft.cli.main import main

    code = main(
        [
            "advise",
            "--target",
            "javanese",
            "--k",
            "2",
            "--n",
            "6",
            "--model",
            words["model"],
            "--task",
            words["task"],
            "--device",
            "cpu",
        ]
    )
    text = capsys.readouterr().out
    run = runs.list_runs("advise")[0]
    circuit = Circuit.load(run.file("circuit.json"))
    assert (
        code == 0
        and len(circuit) == 2
        and all(f"L{layer}.H{head}" in text for layer, head in circuit.heads)
    )
    assert (
        len(run.file("advice.csv").read_text().splitlines()) == 13
        and runs_results.result(run)["heads"][0]["rank"] == 1
    )


def test_an_experiment_and_its_tables_from_the_shell(words, tmp_path, capsys):
    from ctsft.cli.main import main

    path = tmp_path / "design.json"
    path.write_text(json.dumps(words | {"seeds": [1]}))
    assert (
        main(["experiment", str(path), "--device", "cpu"]) == 0
        and "2 of 2 trials" in capsys.readouterr().out
    )
    experiment_id = runs.list_runs("experiment")[0].id
    assert (
        main(["tables", experiment_id]) == 0 and "| javanese | target |" in capsys.readouterr().out
    )
    assert (
        main(
            ["tables", trial_run_id(experiment_id, Design(**words | {"seeds": [1]}).trials({})[0])]
        )
        == 2
        and "is no experiment" in capsys.readouterr().err
    )
    assert (
        main(["experiment", str(tmp_path / "none.json")]) == 2
        and "does not exist" in capsys.readouterr().err
    )


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
