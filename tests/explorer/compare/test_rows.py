"""Rows of the comparison: names of runs, the summary, the CSV, the curves."""

import csv
import io

import pytest

from ctsft.jobs import tuning_table
from ctsft.runs.answers import Answers
from explorer.compare import curves, table
from explorer.session import measured_rows
from explorer.text import outcomes, run_names
from support.compare_page import plain
from support.finetune_page import tuned


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


def test_held_tuning_and_plain_tuning_have_two_names_in_the_table():
    held, plain_row = row("full", 0.8, 0.6, hold=9.0), row("full", 0.7, 0.6, hold=0.0)
    names = [run_names.held_name(one) for one in (held, plain_row)]
    assert names == ["Everything, held", "Everything"]
    assert run_names.trained_text(held) == names[0]


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
