"""An experiment's form as a design: what it says, what it refuses, what it would take, and the
tables of what is finished.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ctsft import runs
from ctsft.experiment.runner import run_experiment
from ctsft.jobs import tuning_table
from ctsft.jobs.command_line import arguments
from ctsft.jobs.experiment_design import MEASURING, Design, read_design
from ctsft.jobs.requests import ExperimentRequest, FinetuneRequest, Tuning
from explorer.finetune import experiment_command, experiment_tables
from explorer.session.view import View
from explorer.text import run_names
from support.errors import said
from support.experiment import ROWS
from support.tasks import agreed, two_languages, write_task

VIEW = View(
    design_targets=["english", "javanese"],
    design_methods=["circuit", "full"],
    design_n="10, 20",
    design_seeds=" 1,2 ,3",
    design_rates="1e-3",
    design_epochs=2,
    design_batch=8,
)


def test_the_form_is_a_design_that_the_shell_takes():
    design = experiment_command.form_design(
        replace(VIEW, size=20, attention="frozen", design_rows=30, design_related=["minangkabau"])
    )
    assert (design.model, design.task, design.source, design.targets) == (
        "demo",
        "demo",
        "indonesian",
        ["english", "javanese"],
    )
    assert (design.n, design.seeds, design.rows, design.related) == (
        [10, 20],
        [1, 2, 3],
        30,
        ["minangkabau"],
    )
    assert design.discovery == {
        "size": 20,
        "seed": 0,
        "method": "cdt",
        "attention": "frozen",
        "positions": "all",
        "rules": "paper",
    }
    (setting,) = design.settings
    assert (setting.epochs, setting.learning_rate, setting.learning_rates, setting.batch_size) == (
        2,
        1e-3,
        [],
        8,
    )
    assert design.n_trials == 2 * 2 * 2 * 3 and not design.grid() and design.base is None
    path = experiment_command.save(design)
    assert read_design(path) == design and experiment_command.save(
        design
    ) == path != experiment_command.save(design.model_copy(update={"k": 3}))
    assert runs.home() in Path(path).parents
    request = experiment_command.request(replace(VIEW, design_jobs=2), design, path)
    assert arguments(request) == ["experiment", path, "--jobs", "2", "--name", "experiment"]
    assert (request.design, request.file, request.data_dir) == (design, path, None)
    elsewhere = experiment_command.request(replace(VIEW, data_dir="somewhere"), design, path)
    assert "--data-dir" in arguments(elsewhere)
    strange = experiment_command.save(design.model_copy(update={"name": "../../<b>etc"}))
    assert Path(strange).parent == runs.home() / "designs" and Path(strange).name.startswith(
        "b-etc-"
    )


def test_several_rates_are_a_grid_chosen_on_validation_rows():
    design = experiment_command.form_design(replace(VIEW, design_rates="1e-3, 3e-3,1e-2"))
    assert (
        design.settings[0].choose == "valid"
        and len(design.grid()) == 3 * 2 * 2
        and {cell.split for cell in design.grid()} == {"valid"}
    )
    assert design.n_trials == 24 + 12
    assert (
        experiment_command.form_design(replace(VIEW, design_methods=["direct"])).base == "demo-base"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"design_targets": []}, "No target language is chosen"),
        ({"design_methods": []}, "No method is chosen"),
        ({"design_n": "10; 20"}, "'10; 20' under Labelled examples is not a whole number"),
        ({"design_n": ""}, "Labelled examples is empty"),
        ({"design_n": "0"}, "n has to be at least 1"),
        ({"design_seeds": "1, 1"}, "appears twice"),
        ({"design_rates": "fast"}, "such as 3e-4, 1e-3"),
        ({"design_rates": "-1"}, "greater than 0"),
        ({"design_rates": "inf"}, "finite number"),
        ({"design_rates": "1e-3, nan"}, "finite number"),
        ({"design_rates": "1e-3, 1e-3"}, "0.001 is repeated"),
        ({"design_methods": ["direct"], "model": "other"}, "--base"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(changes, words):
    said(lambda: experiment_command.form_design(replace(VIEW, **changes)), words)


def test_a_saved_design_opens_again_and_one_that_says_more_is_refused():
    design = experiment_command.form_design(
        replace(
            VIEW,
            design_rates="1e-3, 3e-3",
            design_rows=30,
            design_related=["minangkabau"],
            design_name="mine",
            design_k=3,
            design_methods=["full_held", "replay", "ssu"],
            design_hold=0.9,
            design_replay=20,
            design_share=True,
        )
    )
    assert (design.hold, design.replay, design.share) == (0.9, 20, True)
    assert (
        experiment_command.form_design(
            replace(View(), **experiment_command.form_fields(design, View()))
        )
        == design
    )
    assert experiment_command.parse(design.model_dump_json(), "a.json") == design
    other = design.model_copy(update={"task": "nusax"})
    said(lambda: experiment_command.form_fields(other, View()), "task = 'nusax'", "Setup")
    said(
        lambda: experiment_command.form_fields(
            design.model_copy(update={"choose_seeds": [2]}), View()
        ),
        "choose_seeds",
        "python -m ctsft experiment",
    )
    two = design.model_copy(
        update={"settings": [*design.settings, design.settings[0].model_copy(update={"name": "b"})]}
    )
    said(lambda: experiment_command.form_fields(two, View()), "several")
    said(lambda: experiment_command.parse("{", "a.json"), "'a.json' is not valid JSON")
    said(
        lambda: experiment_command.parse('{"targets": []}', "a.json"),
        "'a.json' cannot be used",
        "targets",
    )


def test_too_few_rows_are_told_before_anything_starts():
    design = experiment_command.form_design(VIEW)
    assert experiment_command.check_rows(design, {"english": 20, "javanese": 30}.get) is design
    said(
        lambda: experiment_command.check_rows(design, {"english": 20, "javanese": 19}.get),
        "20 labelled examples",
        "pool B of the train rows of javanese has 19",
    )
    said(
        lambda: experiment_command.check_rows(
            design.model_copy(update={"pool": "all"}), lambda target: 5
        ),
        "english has 5 train rows",
    )


def test_the_time_is_that_of_measured_runs_or_is_not_known():
    design = experiment_command.form_design(VIEW)
    cost = sum(map(design.cost, design.trials({})))
    assert cost == 12 * (MEASURING + 2 * 2) + 12 * (MEASURING + 2 * 3), (
        "two epochs of 10 and of 20 rows, 8 a step"
    )
    assert experiment_command.seconds(design, []) is None
    assert experiment_command.seconds(design, [(1.0, 10), (30.0, 10), (2.0, 10)]) == pytest.approx(
        0.2 * cost
    )
    assert experiment_command.seconds(design, [(2.0, 10)], at_once=4) == pytest.approx(0.05 * cost)
    for run_id, words in (
        ("plain", {"history": [{"seconds": 0.0, "step": 0}, {"seconds": 3.0, "step": 6}]}),
        ("x", {"history": []}),
        (
            "cell",
            {"cell": {}, "history": [{"seconds": 0.0, "step": 0}, {"seconds": 2.0, "step": 8}]},
        ),
    ):
        with runs.record(FinetuneRequest(tuning=Tuning(target="javanese")), run_id) as run:
            run.file("result.json").write_text(json.dumps(words))
    assert sorted(experiment_command.measured(VIEW)) == [
        (2.0, MEASURING + 8),
        (3.0, 2 * MEASURING + 6),
    ]
    assert experiment_command.measured(replace(VIEW, task="xnli")) == []


def test_the_ways_that_are_not_dominated_are_named():
    rows = [row for row in ROWS if row["target"] == "jv"]
    text = experiment_tables.not_dominated(rows)
    assert text.endswith(f"one, n = 5: {run_names.method_name('circuit')}.")
    assert "No seed" in experiment_tables.not_dominated([])


def test_tables_in_the_layout_of_the_papers():
    ((title, table),) = experiment_tables.frames(ROWS)
    assert title == "one, n = 5, 1 or 2 seeds" and list(table.columns) == [
        "target",
        "accuracy on",
        "before",
        "circuit",
        "full",
    ]
    assert table.iloc[0].tolist() == ["jv", "target", ".250", ".600 ± .141", ".400 ± .000"]
    pairs = experiment_tables.differences(ROWS)
    assert pairs.iloc[0].tolist() == [
        "one",
        "circuit − full",
        "1 seed",
        "+.100",
        "+.300",
        "fewer than 3 languages or seeds",
    ]
    assert list(experiment_tables.differences(ROWS[:1]).columns) == list(pairs.columns) and not len(
        experiment_tables.differences(ROWS[:1])
    )


def test_what_is_finished_and_what_failed_is_read_from_the_folders(folders, loaded, task, tmp_path):
    rows = agreed(loaded["qwen2"], task, each=9)
    tables = two_languages(rows, 18, 3, (20, 6, 6))
    view = View(
        model=str(folders["qwen2"]),
        task=str(write_task(tmp_path / "task", tables)),
        target="javanese",
        size=6,
        method="atp",
        design_targets=["javanese"],
        design_methods=["near_zero", "full"],
        design_n="4",
        design_seeds="1",
        design_k=2,
        design_epochs=1,
        design_pool="all",
    )
    design = experiment_command.form_design(view)
    request = ExperimentRequest(design=design, file="design.json")
    with runs.record(request, "exp") as run:
        assert (
            experiment_tables.so_far(run) == ([], "indonesian", {})
            and experiment_command.run_design(run) == design
        ), "before it has written anything"
        run_experiment(run, request)
    assert [one.id for one in experiment_command.listed(view)] == [
        "exp"
    ] and experiment_command.listed(replace(view, task="other")) == []
    rows, source, chosen = experiment_tables.so_far(run)
    assert (
        chosen == {}
        and experiment_tables.rates(chosen) == ""
        and experiment_tables.rates({("one", "full"): 3e-3}).endswith("rows: full 0.003.")
    )
    assert (
        [row["method"] for row in rows] == ["near_zero", "full"]
        and source == "indonesian"
        and experiment_tables.failures(run) == []
    )
    cells = design.trials({})
    with open(run.file("events.jsonl"), "a") as events:
        events.write(
            json.dumps(
                {
                    "kind": "failed",
                    "key": cells[0].key,
                    "cell": cells[0].model_dump(),
                    "error": "no room",
                }
            )
            + "\n"
        )
    assert experiment_tables.failures(run) == [], "it was run again since"
    runs.delete(runs.get(f"exp-{cells[0].key}"))
    assert (
        experiment_tables.failures(run) == [f"{cells[0].description}: no room"]
        and len(experiment_tables.so_far(run)[0]) == 1
    )
    assert len(tuning_table.table_rows()) == 1 and isinstance(
        experiment_command.run_design(run), Design
    )
