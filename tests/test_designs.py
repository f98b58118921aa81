"""An experiment's form as a design: what it says, what it refuses, what it would take, and the
tables of what is finished.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import agreed, cued, write_task
from test_experiment import ROWS
from test_sources import said

from ctsft import runs
from ctsft.experiment.design import MEASURING, Design, read_design
from ctsft.experiment.runner import experiment
from ctsft.runs import tuning_table
from explorer import designs
from explorer.session.view import View

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
    found = designs.design(
        replace(VIEW, size=20, attention="frozen", design_rows=30, design_related=["minangkabau"])
    )
    assert (found.model, found.task, found.source, found.targets) == (
        "demo",
        "demo",
        "indonesian",
        ["english", "javanese"],
    )
    assert (found.n, found.seeds, found.rows, found.related) == (
        [10, 20],
        [1, 2, 3],
        30,
        ["minangkabau"],
    )
    assert found.discovery == {
        "size": 20,
        "seed": 0,
        "method": "cdt",
        "attention": "frozen",
        "positions": "all",
        "rules": "paper",
    }
    (setting,) = found.settings
    assert (setting.epochs, setting.learning_rate, setting.learning_rates, setting.batch_size) == (
        2,
        1e-3,
        [],
        8,
    )
    assert found.size == 2 * 2 * 2 * 3 and not found.grid() and found.base is None
    path = designs.save(found)
    assert read_design(path) == found and designs.save(found) == path != designs.save(
        found.model_copy(update={"k": 3})
    )
    assert runs.home() in Path(path).parents
    assert designs.words(found, path, "", 2) == [
        "experiment",
        path,
        "--jobs",
        "2",
        "--name",
        "experiment",
    ]
    assert "--data-dir" in designs.words(found, path, "somewhere", 1)
    strange = designs.save(found.model_copy(update={"name": "../../<b>etc"}))
    assert Path(strange).parent == runs.home() / "designs" and Path(strange).name.startswith(
        "b-etc-"
    )


def test_several_rates_are_a_grid_chosen_on_validation_rows():
    found = designs.design(replace(VIEW, design_rates="1e-3, 3e-3,1e-2"))
    assert (
        found.settings[0].choose == "valid"
        and len(found.grid()) == 3 * 2 * 2
        and {cell.split for cell in found.grid()} == {"valid"}
    )
    assert found.size == 24 + 12
    assert designs.design(replace(VIEW, design_methods=["direct"])).base == "demo-base"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"design_targets": []}, "No target language is chosen"),
        ({"design_methods": []}, "No method is chosen"),
        ({"design_n": "10; 20"}, "'10; 20' under Labelled examples is not a whole number"),
        ({"design_n": ""}, "Labelled examples is empty"),
        ({"design_n": "0"}, "n has to be at least 1"),
        ({"design_seeds": "1, 1"}, "stands twice"),
        ({"design_rates": "fast"}, "such as 3e-4, 1e-3"),
        ({"design_rates": "-1"}, "greater than 0"),
        ({"design_rates": "1e-3, 1e-3"}, "0.001 stands twice"),
        ({"design_methods": ["direct"], "model": "other"}, "--base"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(changes, words):
    said(lambda: designs.design(replace(VIEW, **changes)), words)


def test_a_saved_design_opens_again_and_one_that_says_more_is_refused():
    found = designs.design(
        replace(
            VIEW,
            design_rates="1e-3, 3e-3",
            design_rows=30,
            design_related=["minangkabau"],
            design_name="mine",
            design_k=3,
        )
    )
    assert designs.design(replace(View(), **designs.fields(found, View()))) == found
    assert designs.parse(found.model_dump_json(), "a.json") == found
    other = found.model_copy(update={"task": "nusax"})
    said(lambda: designs.fields(other, View()), "task = 'nusax'", "Setup")
    said(
        lambda: designs.fields(found.model_copy(update={"choose_seeds": [2]}), View()),
        "choose_seeds",
        "python -m ctsft experiment",
    )
    two = found.model_copy(
        update={"settings": [*found.settings, found.settings[0].model_copy(update={"name": "b"})]}
    )
    said(lambda: designs.fields(two, View()), "several")
    said(lambda: designs.parse("{", "a.json"), "'a.json' is not valid JSON")
    said(lambda: designs.parse('{"targets": []}', "a.json"), "'a.json' cannot be used", "targets")


def test_too_few_rows_are_told_before_anything_starts():
    found = designs.design(VIEW)
    assert designs.room(found, {"english": 20, "javanese": 30}.get) is found
    said(
        lambda: designs.room(found, {"english": 20, "javanese": 19}.get),
        "20 labelled examples",
        "pool B of the train rows of javanese holds 19",
    )
    said(
        lambda: designs.room(found.model_copy(update={"pool": "all"}), lambda target: 5),
        "rows of english are 5",
    )


def test_the_time_is_that_of_measured_runs_or_is_not_known():
    found = designs.design(VIEW)
    cost = sum(map(found.cost, found.cells({})))
    assert cost == 12 * (MEASURING + 2 * 2) + 12 * (MEASURING + 2 * 3), (
        "two epochs of 10 and of 20 rows, 8 a step"
    )
    assert designs.seconds(found, []) is None
    assert designs.seconds(found, [(1.0, 10), (30.0, 10), (2.0, 10)]) == pytest.approx(0.2 * cost)
    assert designs.seconds(found, [(2.0, 10)], at_once=4) == pytest.approx(0.05 * cost)
    for run_id, words in (
        ("plain", {"history": [{"seconds": 0.0, "step": 0}, {"seconds": 3.0, "step": 6}]}),
        ("x", {"history": []}),
        (
            "cell",
            {"cell": {}, "history": [{"seconds": 0.0, "step": 0}, {"seconds": 2.0, "step": 8}]},
        ),
    ):
        with runs.record(
            "finetune", [], {"subject": {"model": "demo", "task": "demo"}}, run_id=run_id
        ) as run:
            run.file("result.json").write_text(json.dumps(words))
    assert sorted(designs.measured(VIEW)) == [(2.0, MEASURING + 8), (3.0, 2 * MEASURING + 6)]
    assert designs.measured(replace(VIEW, task="xnli")) == []


def test_tables_in_the_layout_of_the_papers():
    ((title, table),) = designs.frames(ROWS)
    assert title == "one, n = 5, 1 or 2 seeds" and list(table.columns) == [
        "target",
        "accuracy on",
        "before",
        "circuit",
        "full",
    ]
    assert table.iloc[0].tolist() == ["jv", "target", ".250", ".600 ± .141", ".400 ± .000"]
    pairs = designs.differences(ROWS)
    assert pairs.iloc[0].tolist() == [
        "one",
        "circuit − full",
        3,
        "+.167 [+.100, +.300]",
        "+.333 [+.200, +.400]",
        "fewer than 6 pairs",
    ]
    assert list(designs.differences(ROWS[:1]).columns) == list(pairs.columns) and not len(
        designs.differences(ROWS[:1])
    )


def test_what_is_finished_and_what_failed_is_read_from_the_folders(folders, loaded, task, tmp_path):
    rows = agreed(loaded["qwen2"], task, each=9)
    found = {
        ("indonesian", "train"): rows[:18],
        ("indonesian", "valid"): rows[18:21],
        ("indonesian", "test"): rows[21:],
    }
    found |= {
        ("javanese", split): cued(n, i)
        for i, (split, n) in enumerate({"train": 20, "valid": 6, "test": 6}.items())
    }
    view = View(
        model=str(folders["qwen2"]),
        task=str(write_task(tmp_path / "task", found)),
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
    design = designs.design(view)
    with runs.record(
        "experiment", ["experiment"], {"design": design.model_dump()}, run_id="exp"
    ) as run:
        assert designs.so_far(run) == ([], "indonesian", {}) and designs.of(run) == design, (
            "before it has written anything"
        )
        experiment(run, design, None)
    assert [one.id for one in designs.listed(view)] == ["exp"] and designs.listed(
        replace(view, task="other")
    ) == []
    rows, source, chosen = designs.so_far(run)
    assert (
        chosen == {}
        and designs.rates(chosen) == ""
        and designs.rates({("one", "full"): 3e-3}).endswith("rows: full 0.003.")
    )
    assert (
        [row["method"] for row in rows] == ["near_zero", "full"]
        and source == "indonesian"
        and designs.failures(run) == []
    )
    cells = design.cells({})
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
    assert designs.failures(run) == [], "it was run again since"
    runs.delete(runs.get(f"exp-{cells[0].key}"))
    assert (
        designs.failures(run) == [f"{cells[0].says}: no room"] and len(designs.so_far(run)[0]) == 1
    )
    assert len(tuning_table.compare()) == 1 and isinstance(designs.of(run), Design)
