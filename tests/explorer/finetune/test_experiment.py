"""The Experiment tab of the Fine-tune page: the form, what it refuses, what it starts, and the
tables of what is finished.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ctsft import runs
from ctsft.experiment.runner import run_experiment
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.experiment_design import read_design
from ctsft.jobs.requests import ExperimentRequest
from ctsft.utils.units import duration_text
from explorer.finetune import experiment_command, experiment_results, experiment_tables
from explorer.session import view as session_view
from support.finetune_page import tuned
from support.pages import at_work, button, texts, visit


@pytest.fixture
def form(view) -> session_view.View:
    return replace(
        view,
        tune_tab="Experiment",
        design_targets=["javanese"],
        design_n="4",
        design_methods=["circuit", "full"],
        design_seeds="1, 2",
        design_k=2,
    )


def test_the_form_says_how_large_it_is_and_that_the_time_is_not_known(form):
    at = visit(form)
    assert (
        not at.exception
        and "**4 trials**: 2 ways × 1 target × 1 size × 2 seeds." in texts(at)
        and "is not known" in texts(at)
    )
    assert button(at, "Start experiment") and button(at, "Start tuning") is None, (
        "one primary button a page"
    )
    at.text_input(key="w_design_rates").set_value("1e-3, 3e-3").run()
    assert "**4 more** choose the learning rates on validation rows" in texts(at)


def test_the_time_is_expected_from_what_was_measured_here(form, view):
    run = tuned(view, result=False)
    run.file("result.json").write_text(
        json.dumps({"history": [{"seconds": 0, "step": 0}, {"seconds": 30.0, "step": 6}]})
    )
    at = visit(form)
    cost = sum(
        map(
            experiment_command.form_design(form).cost,
            experiment_command.form_design(form).trials({}),
        )
    )
    assert f"**About {duration_text(cost)}**, estimated from 1 finished run" in texts(at), (
        "30 steps of measuring and tuning took 30 s"
    )


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("w_design_n", "four", "is not a whole number"),
        ("w_design_n", "25", "25 labelled examples are requested"),
        ("w_design_seeds", "1, 1", "appears twice"),
        ("w_design_rates", "", "Learning rates is empty"),
    ],
)
def test_bad_values_are_one_sentence_and_nothing_can_start(form, key, value, words):
    at = visit(form)
    at.text_input(key=key).set_value(value).run()
    (message,) = [box.value.replace("\\", "") for box in at.info]
    assert words in message and button(at, "Start experiment").disabled and not at.exception


def test_what_is_typed_is_shown_as_text(form):
    at = visit(replace(form, design_n="![x](http://elsewhere.invalid/x.png)"))
    assert any(r"\!\[x\]\(http" in box.value for box in at.info), "no picture is fetched"


def test_start_writes_the_design_and_asks_for_the_shells_command(form, started):
    at = visit(form)
    at.multiselect(key="w_design_methods").set_value(["near_zero", "norms"]).run()
    at.number_input(key="w_design_jobs").set_value(2).run()
    button(at, "Start experiment").click().run()
    (request,) = started
    assert request.name == "experiment" and shell_command(request).endswith("--name experiment")
    design = request.design
    assert read_design(request.file) == design and runs.home() in Path(request.file).parents
    assert (design.methods, design.targets) == (["near_zero", "norms"], ["javanese"])
    assert request.jobs == 2 and not at.exception
    assert (design.n, design.seeds, design.k) == ([4], [1, 2], 2)
    assert (
        at.selectbox(key=experiment_results.SHOWN_RUN).value == runs.list_runs("experiment")[0].id
    ), "the new one is shown"


def test_a_running_experiment_is_watched_and_a_stopped_one_resumes(form, monkeypatch):
    design = experiment_command.form_design(form)
    request = ExperimentRequest(design=design, file="design.json", name="mine")
    with runs.record(request) as run:
        run.progress(1, 4, "trial 2 of 4")
    at_work(run, eta=42.0)
    at = visit(form)
    assert (
        button(at, "Stop and save")
        and "starts with the first finished trial" in texts(at)
        and "continues when this tab" in texts(at)
    )
    button(at, "Discard").click().run()
    assert "Finished trials remain" in texts(at) and runs.get(run.id)
    at = visit(form)
    button(at, "Stop and save").click().run()
    assert run.file("stop").read_text() == "keep" and not at.exception and not at.error
    at_work(run, state="stopped", message="It stopped.", pid=None, pid_started=None)
    resumed = []
    monkeypatch.setattr(runs, "resume", lambda run: resumed.append(run.id))
    at = visit(form)
    button(at, "Resume").click().run()
    assert resumed == [run.id] and not at.exception


def test_the_tables_of_a_finished_experiment(form, words):
    form = replace(
        form,
        model=words["model"],
        task=words["task"],
        size=6,
        method="atp",
        design_methods=["near_zero", "full"],
        design_n="6",
        design_pool="all",
        design_epochs=1,
        design_rates="1e-3, 1e-2",
    )
    design = experiment_command.form_design(form)
    request = ExperimentRequest(design=design, file="design.json")
    with runs.record(request) as run:
        run_experiment(run, request)
    at = visit(form)
    assert not at.exception and "4 trials" in texts(at) and button(at, "Resume") is None
    chosen = experiment_tables.so_far(run)[2]
    assert (
        experiment_tables.rates(chosen).replace("_", " ") in texts(at).replace("\\", "")
        and len(chosen) == 2
    )
    table, pairs = (frame.value for frame in at.dataframe[:2])
    assert (
        list(table.columns) == ["target", "accuracy on", "before", "near_zero", "full"]
        and table["target"].tolist() == ["javanese"] * 2
    )
    assert pairs["methods"].tolist() == ["near_zero − full"] and pairs["verdict"].tolist() == [
        "fewer than 3 languages or seeds"
    ]
    figure = json.loads(at.get("plotly_chart")[-1].proto.spec)
    assert {"near zero", "full"} <= {trace.get("name") for trace in figure["data"]}
    assert {"Markdown", "LaTeX", "CSV"} <= {one.proto.label for one in at.get("download_button")}


def test_a_saved_design_fills_the_form_and_a_foreign_one_is_told(form):
    saved = experiment_command.form_design(
        replace(form, design_seeds="5", design_name="mine", design_epochs=3)
    )
    at = visit(form)
    at.file_uploader[0].set_value(
        ("mine.json", saved.model_dump_json().encode(), "application/json")
    ).run()
    assert (
        not at.exception
        and at.text_input(key="w_design_seeds").value == "5"
        and at.number_input(key="w_design_epochs").value == 3
    )
    assert "**2 trials**" in texts(at) and "Opened the design mine" in at.success[0].value
    foreign = saved.model_copy(update={"task": "nusax"}).model_dump_json().encode()
    at.file_uploader[0].set_value(("other.json", foreign, "application/json")).run()
    assert any("task" in error.value for error in at.error) and not at.success and not at.exception
