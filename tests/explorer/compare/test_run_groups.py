"""Runs of an experiment and of an opened exploration on the Compare page."""

import json
from pathlib import Path

import pytest

from ctsft import runs
from explorer.session import own_runs
from explorer.session import view as session_view
from support.compare_page import PAGE, plain, table_of
from support.finetune_page import tuned
from support.pages import button, spec, texts, visit


def cell(view, run, seed, what="circuit", after=(0.8, 0.7)):
    """A finished tuning run turned into a cell of an experiment."""
    made = tuned(view, what, after=after, seed=seed)
    request = json.loads(made.file("request.json").read_text())
    trial = {
        "setting": "rough",
        "method": what,
        "target": "javanese",
        "n": 24,
        "seed": seed,
        "learning_rate": 3e-3,
    }
    request |= {"name": f"nusax: {what} seed {seed}", "trial_of": {"run": run, "trial": trial}}
    made.file("request.json").write_text(json.dumps(request))
    return made


def test_an_experiment_stands_apart_with_its_seeds_on_one_line(view):
    for seed, source_after in ((1, 0.8), (2, 0.7), (3, 0.75)):
        cell(view, "exp", seed, after=(source_after, 0.7))
    cell(view, "exp", 1, "full", (0.5, 0.8))
    single = tuned(view)
    at = visit(view, PAGE)
    assert at.selectbox(key="w_compare_scope").options == [
        "Single runs (1)",
        "Experiment nusax (4 trials)",
        "Everything (5)",
    ]
    assert list(table_of(at)["run"]) == [single.id] and "1 of 5 runs are shown" in texts(at)
    at.selectbox(key="w_compare_scope").set_value("exp").run()
    table = table_of(at)
    assert (
        list(table["what"]) == ["Everything", "Circuit"]
        and list(table["seeds"]) == [1, 3]
        and "seed" not in table
        and not at.exception
    )
    assert (
        table["source accuracy"][1] == "0.850 → 0.750 ± 0.050"
        and table["run"][1] == "3 runs"
        and "setting rough" in plain(texts(at))
    )
    large = [trace for trace in spec(at, 0)["data"] if trace["name"] == "Circuit (2 heads)"]
    assert (
        large[0]["x"] == pytest.approx([-0.1])
        and "By means over 3 seeds" in texts(at)
        and "−0.100" in texts(at)
    )
    at.toggle(key="w_compare_seeds").set_value(False).run()
    assert (
        len(table_of(at)) == 4
        and list(table_of(at)["seed"]) == ["1", "3", "2", "1"]
        and "name" not in table_of(at)
    )


def in_exploration(run, title="theirs.zip"):
    """The run as one of an exploration that was opened; it is removed from one's own."""
    folder = runs.home() / "explorations" / "theirs"
    (folder / "runs").mkdir(parents=True)
    (folder / "exploration.json").write_text(json.dumps({"title": title}))
    run.path.rename(folder / "runs" / run.id)


def test_runs_of_an_exploration_are_listed_with_where_they_come_from(view):
    theirs, local_run = tuned(view, "near_zero"), tuned(view, "circuit")
    in_exploration(theirs)
    at = visit(view, PAGE)
    assert not at.exception
    scopes = next(box for box in at.selectbox if box.label == "Runs")
    assert list(scopes.options) == [
        "Single runs (1)",
        "Exploration theirs.zip (1)",
        "Everything (2)",
    ]
    assert list(table_of(at)["run"]) == [local_run.id] and "origin" not in table_of(at)
    at = scopes.select("from theirs.zip").run()
    assert list(table_of(at)["run"]) == [theirs.id]
    assert list(table_of(at)["origin"]) == ["theirs.zip"] and not at.exception


def test_runs_of_an_exploration_cannot_be_changed_on_the_page(view):
    run = tuned(view)
    in_exploration(run)
    view.compare_chosen = [run.id]
    at = visit(view, PAGE)
    for label in ("Name or note", "Delete selected"):
        assert button(at, label).disabled and button(at, label).help == own_runs.READ_ONLY
    control = tuned(view)
    view.compare_chosen, view.compare_scope = [control.id], "single"
    assert not button(visit(view, PAGE), "Delete selected").disabled


def test_runs_whose_task_is_not_here_are_drawn_without_the_level_of_chance(view):
    in_exploration(tuned(view))
    known = json.dumps(spec(visit(view, PAGE)))
    Path(view.task).unlink()
    at = visit(session_view.View(), PAGE)
    assert not at.exception and not at.error
    assert "chance" in known and "chance" not in json.dumps(spec(at))
