"""The Compare page on run folders made here; nothing is trained."""

import csv
import hashlib
import io
import json
from pathlib import Path

import pytest

from benchmarks.bench_compare import make
from ctsft import runs
from ctsft.jobs import tuning_table
from ctsft.plots.style import METHOD_COLOURS
from ctsft.runs import results
from ctsft.runs.answers import Answers
from explorer import guard
from explorer.compare import curves, table
from explorer.session import measured_rows, own_runs
from explorer.session import view as session_view
from explorer.text import outcomes, run_names
from support.finetune_page import tuned, two_targets
from support.pages import alive, button, spec, texts, visit

PAGE = "compare/page.py"


def row(what, source, target, **changes) -> dict:
    words = {
        "run": f"{what}-{source}-{target}-{changes}",
        "name": "",
        "state": "done",
        "what": what,
        "heads": None if what in ("norms", "full") else 6,
        "target": "javanese",
        "n": 50,
        "learning_rate": 3e-3,
        "epochs": 10.0,
        "seed": 31,
        "source": "indonesian",
        "source_before": 0.85,
        "source_after": source,
        "target_before": 0.5,
        "target_after": target,
        "model": "demo",
        "task": "demo",
        "setting": "same",
    }
    return words | changes


def plain(text: str) -> str:
    return text.replace("\\", "")


def test_held_tuning_and_plain_tuning_have_two_names_in_the_table():
    held, plain_row = row("full", 0.8, 0.6, hold=9.0), row("full", 0.7, 0.6, hold=0.0)
    names = [run_names.held_name(one) for one in (held, plain_row)]
    assert names == ["Everything, held", "Everything"]
    assert run_names.trained_text(held) == names[0]


def test_no_runs_says_where_to_start_one(view):
    at = visit(view, PAGE)
    assert not at.exception and "Start one on the Fine-tune page" in texts(at) and not at.dataframe


def table_of(at):
    return at.dataframe[0].value


def chosen(at, *rows: int):
    """The page with these rows of the table selected."""
    key = at.dataframe[0].proto.id.split("-", 2)[2]
    at.session_state[key] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return at.run()


def test_the_table_the_points_and_the_curves_are_of_the_runs(view):
    tuned(view)
    full = tuned(view, "full", after=(0.5, 0.75))
    at = visit(view, PAGE)
    assert not at.exception
    table = table_of(at)
    assert list(table.columns) == [
        "what",
        "heads",
        "share",
        "source accuracy",
        "target accuracy",
        "forgetting",
        "source_lowest",
        "source_area_lost",
        "gain",
        "run",
    ], "no setting differs"
    assert list(table["what"]) == ["Everything", "Circuit"]
    assert table["source accuracy"][0] == "0.850 → 0.500" and table[
        "forgetting"
    ].tolist() == pytest.approx([0.35, 0.05])
    assert table["gain"].tolist() == pytest.approx([0.25, 0.2]) and table[
        "share"
    ].tolist() == pytest.approx([0.1, 0.1])
    assert (
        "target javanese, n 24, epochs 10, learning rate 0.003, batch 16, seed 31, measured on"
        " test, done" in plain(texts(at))
    )
    scatter, overlay = spec(at, 0), spec(at, 1)
    placed = {
        trace["name"]: (trace["x"][0], trace["y"][0])
        for trace in scatter["data"]
        if trace["name"] != "frontier"
    }
    assert placed == {
        "Everything": pytest.approx((-0.35, 0.25)),
        "Circuit (2 heads)": pytest.approx((-0.05, 0.2)),
    }
    lines = {trace["name"]: trace for trace in overlay["data"]}
    assert set(lines) == {
        f"{panel}, {name}"
        for panel in ("indonesian (source)", "javanese (target)")
        for name in ("Everything", "Circuit (2 heads)")
    }
    on_source, on_target = (
        lines[f"{panel}, Everything"] for panel in ("indonesian (source)", "javanese (target)")
    )
    assert on_source["xaxis"] == "x" and on_target["xaxis"] == "x2"
    assert on_source["line"]["color"] == on_target["line"]["color"] == METHOD_COLOURS["full"]
    assert (
        "“Circuit (2 heads)” has the highest Indonesian accuracy (0.850 → 0.800; 0.30 ahead of the"
        " next: 18 texts that only it has right, 0 that only the next, p < 0.001)"
        in plain(texts(at))
    )
    assert table["source_lowest"].tolist() == pytest.approx([0.5, 0.8])
    # straight from .85: half of the loss
    assert table["source_area_lost"].tolist() == pytest.approx([0.175, 0.025])
    lost = at.dataframe[2].value
    assert lost["run"].tolist() == ["Everything", "Circuit (2 heads)"]
    assert lost["source lost"].tolist() == [23, 5] and lost["target won"].tolist() == [17, 14]
    assert lost["lost by others too"].tolist() == [5, 5]
    chosen(at, 0)
    for figure in (spec(at, 0), spec(at, 1)):
        faint = {
            name: trace.get("opacity", 1) < 0.5
            for trace in figure["data"]
            for name in ("Everything", "Circuit")
            if name in trace["name"]
        }
        assert faint == {"Everything": False, "Circuit": True}, "the selected run stands out"
    assert "of the selected runs" in texts(at)
    button(at, "Delete selected").click().run()
    assert runs.get(full.id), "nothing is deleted before it is confirmed"
    button(at, "Delete permanently").click().run()
    assert [run["what"] for run in tuning_table.table_rows()] == ["circuit"] and not at.exception


def test_related_tasks_and_perplexity_are_means_over_the_runs_that_all_measured_them():
    measured = [
        row("full", 0.8, 0.7, related={"topic (english)": (0.6, after)}, perplexity_before=20.0)
        | {"perplexity_after": 30.0 * after}
        for after in (0.5, 0.7)
    ]
    assert table.related(measured) == "topic (english) 0.600 → 0.600"
    assert table.perplexity(measured) == "20.00 → 18.00"
    # the control: one run without them
    assert table.related([*measured, row("full", 0.8, 0.7)]) == ""
    assert table.perplexity([*measured, row("full", 0.8, 0.7)]) == ""


def test_active_runs_are_listed_but_are_no_point_and_cannot_be_deleted(view):
    tuned(view)
    run = tuned(view, "norms", steps=10, result=False)
    status = json.loads(run.file("status.json").read_text())
    run.file("status.json").write_text(
        json.dumps(
            status | {"state": "running", **dict(zip(("pid", "pid_started"), alive(), strict=True))}
        )
    )
    at = visit(view, PAGE)
    assert list(table_of(at)["state"]) == ["running", "done"]
    assert [trace["name"] for trace in spec(at, 0)["data"]] == ["Circuit (2 heads)"]
    assert button(chosen(at, 0), "Delete selected").disabled


def test_on_a_shared_server_another_visitors_run_is_seen_but_not_changed(view, monkeypatch):
    monkeypatch.setenv(guard.SHARED, "1")
    run = tuned(view)
    at = chosen(visit(view, PAGE), 0)
    assert len(table_of(at)) == 1
    assert button(at, "Delete selected").disabled and button(at, "Name or note").disabled
    mine = hashlib.sha256(f"ctsft visitor {'x' * 50}".encode()).hexdigest()
    run.file(own_runs.OWNER).write_text(mine)
    at.session_state["visitor"] = "x" * 50
    at.run()
    assert not button(at, "Delete selected").disabled and not button(at, "Name or note").disabled


def test_one_target_at_a_time_until_all_are_asked_for(view, tmp_path):
    both = session_view.View(**{**view.__dict__, "task": two_targets(tmp_path)})
    tuned(session_view.View(**{**both.__dict__, "target": "english"}))
    tuned(both)
    at = visit(both, PAGE)
    assert "target javanese" in plain(texts(at)) and "1 of 2 runs are shown" in texts(at)
    at.selectbox(key="w_compare_target").set_value("").run()
    assert list(table_of(at)["target"]) == ["javanese", "english"] and not at.exception
    assert plain(texts(at)).count("One finished run on") == 2 and "mean over 2 targets" in texts(at)
    assert spec(at, 0)["data"][-1]["text"][0].startswith("<b>mean of 2 targets")


def test_filters_search_and_order(view):
    for what, seed, after in (
        ("circuit", 31, (0.8, 0.7)),
        ("circuit", 777, (0.7, 0.6)),
        ("full", 31, (0.5, 0.9)),
    ):
        tuned(view, what, after=after, seed=seed)
    at = visit(view, PAGE)
    assert list(table_of(at)["seed"]) == ["31", "777", "31"]
    at.multiselect(key="w_compare_what").set_value(["circuit"]).run()
    assert list(table_of(at)["seed"]) == ["777", "31"] and "2 of 3 runs are shown" in texts(at)
    at.selectbox(key="w_compare_order").set_value("forgetting").run()
    assert list(table_of(at)["seed"]) == ["31", "777"]
    at.text_input(key="w_compare_text").set_value("CIRCUIT 777").run()
    assert len(table_of(at)) == 1 and at.session_state["view"].compare_text == "CIRCUIT 777"
    at.text_input(key="w_compare_text").set_value("<b>nothing").run()
    assert not at.exception and not at.dataframe and "No run matches" in texts(at)
    at.switch_page("finetune/page.py").run()
    at.switch_page(PAGE).run()
    assert at.text_input(key="w_compare_text").value == "<b>nothing", (
        "another page forgets no filter"
    )


def test_a_selection_outlives_another_order_and_a_filter(view):
    first = tuned(view, seed=1)
    tuned(view, "full", seed=2, after=(0.5, 0.6))
    at = chosen(visit(view, PAGE), 1)
    assert "of the selected runs" in texts(at)
    at.selectbox(key="w_compare_order").set_value("share").run()
    at.selectbox(key="w_compare_order").set_value("gain").run()
    assert "of the selected runs" in texts(at) and at.session_state["view"].compare_chosen == [
        first.id
    ]


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


def test_a_name_and_a_note_are_kept_shown_and_found(view):
    run = tuned(view)
    tuned(view, "full", after=(0.5, 0.6))
    request = run.file("request.json").read_bytes()
    at = chosen(visit(view, PAGE), 1)
    button(at, "Name or note").click().run()
    at.text_input(key="note_name").set_value("<script>best</script>")
    at.text_area(key="note_text").set_value("kept **most**")
    button(at, "Save").click().run()
    assert not at.exception and run.file("request.json").read_bytes() == request
    assert list(table_of(at)["name"]) == ["", "<script>best</script>"] and list(
        table_of(at)["note"]
    ) == ["", "kept **most**"]
    assert "“<script>best</script>” has the highest" in plain(texts(at)) and r"\<script\>" in texts(
        at
    )
    assert all("<script>" not in json.dumps(spec(at, i)["data"]) for i in (0, 1))
    at.text_input(key="w_compare_text").set_value("MOST").run()
    assert list(table_of(at)["run"]) == [run.id]


def test_many_runs_are_read_once(view, monkeypatch):
    make(runs.home(), 60)
    at, read, plain_read = visit(view, PAGE), [], results.evaluations
    monkeypatch.setattr(results, "evaluations", lambda run: read.append(run.id) or plain_read(run))
    at.selectbox(key="w_compare_scope").set_value("").run()
    assert not at.exception and len(tuning_table.table_rows()) == 60 and len(read) < 30, (
        "only what is drawn as curves is read again"
    )


def test_names_say_what_differs_and_stay_unique():
    full = row("full", 0.6, 0.7)
    rows = [
        row("circuit", 0.8, 0.7),
        row("circuit", 0.8, 0.7, seed=777),
        full,
        full,
        full | {"name": "mine"},
    ]
    circuit = "Circuit (6 heads), seed"
    assert run_names.run_names(rows) == [
        f"{circuit} 31",
        f"{circuit} 777",
        "Everything, seed 31",
        "Everything, seed 31 #2",
        "mine",
    ]
    assert run_names.run_names(rows[2:3]) == ["Everything"]


def stored(source: str, target: str, of: str = "the same") -> dict:
    """Answers after tuning."""
    ids = tuple(map(str, range(120)))
    return {
        "indonesian": Answers("test", of, ids, source, source),
        "javanese": Answers("test", of, ids, target, target),
    }


def test_the_summary_claims_no_more_than_the_rows():
    rows = [
        row("circuit", 0.84, 0.56),
        row("full", 0.6, 0.58),
        row("norms", 0.9, 0.9, state="stopped"),
    ]
    answers = {
        rows[0]["run"]: stored("1" * 101 + "0" * 19, "1" * 67 + "0" * 53),
        rows[1]["run"]: stored("1" * 70 + "0" * 48 + "11", "0" * 2 + "1" * 70 + "0" * 48),
    }
    (text,) = outcomes.summary(rows, answers.get)
    text = plain(text)
    assert (
        "Of 2 finished runs on Javanese" in text
        and "“Circuit (6 heads)” has the highest Indonesian accuracy" in text
    )
    assert "0.24 ahead of the next: 31 texts that only it has right, 2 that only the next" in text
    assert (
        "“Everything” has the highest Javanese accuracy (0.500 → 0.580; 0.02 ahead of the next: 5"
        " texts that only it has right, 2 that only the next, p = 0.45)" in text
    )
    (text,) = outcomes.summary(rows, lambda run: {})
    assert "which texts changed is not stored" in text and "p =" not in text
    other = answers | {rows[1]["run"]: stored("1" * 120, "1" * 120, "other rows")}
    assert "p =" not in outcomes.summary(rows, other.get)[0], "answers to other rows"
    (text,) = outcomes.summary(rows, answers.get)
    text = plain(text)
    assert "One seed, 120 rows for each language" in text and "differ in more" not in text
    (other,) = outcomes.summary([rows[0], rows[1] | {"setting": "longer"}], lambda run: {})
    assert "differ in more than what is trained" in other and "p =" not in other
    again = [rows[0], rows[0] | {"run": "again"}]
    assert outcomes.summary([rows[2]], answers.get) == []
    assert "shared with the next" in outcomes.summary(again, lambda run: {})[0]


def test_rows_that_changed_since_are_not_counted(view, tmp_path):
    run = tuned(view, result=False)
    assert measured_rows.measured_on(run) == {"indonesian": 6, "javanese": 6}
    rows = tmp_path / "task" / "javanese" / "valid.csv"
    rows.write_text(
        rows.read_text(encoding="utf-8").rstrip().rpartition("\n")[0] + "\n", encoding="utf-8"
    )
    assert measured_rows.measured_on(run) == {}


def test_the_csv_holds_every_row_and_curves_share_a_start(view):
    tuned(view)
    tuned(view, "full")
    rows = tuning_table.table_rows()
    assert [line["what"] for line in csv.DictReader(io.StringIO(tuning_table.table_csv(rows)))] == [
        "full",
        "circuit",
    ]
    names = {rows[0]["run"]: "<b>a", rows[1]["run"]: "b"}
    fig, left_out = curves.overlay([rows[0], rows[1] | {"source_before": 0.1}], names)
    assert left_out == 1 and "<b>a" not in fig.to_json()


def test_seeds_of_the_same_settings_are_one_line_with_a_band(view):
    for seed, source_after in ((1, 0.8), (2, 0.7), (3, 0.75)):
        tuned(view, seed=seed, after=(source_after, 0.7))
    tuned(view, "full", seed=1, after=(0.5, 0.75))
    rows = tuning_table.table_rows()
    fig, left_out = curves.overlay(rows, {row["run"]: f"run {row['run']}" for row in rows})
    drawn = {trace.name: trace for trace in fig.data}
    assert left_out == 0 and len(drawn) == 6
    name = "indonesian (source), Circuit (2 heads)"
    assert drawn[name].y[-1] == pytest.approx(0.75)
    band = drawn[f"{name}, seeds"]
    assert band.fill == "toself" and min(band.y) == pytest.approx(0.7)


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
