"""The Compare page on run folders made here; nothing is trained."""
import csv
import io
import json

import pytest
from test_page_finetune import alive, button, spec, texts, tuned, two_targets, view, visit  # noqa: F401  (view is a fixture)

from ctsft import results, runs
from explorer import comparing, outcomes, state

PAGE = "screens/compare.py"


def row(what, source, target, **changes) -> dict:
    words = {"run": f"{what}-{source}-{target}-{changes}", "name": "", "state": "done", "what": what,
             "heads": None if what in ("norms", "full") else 6, "target": "javanese", "n": 50,
             "learning_rate": 3e-3, "epochs": 10.0, "seed": 31, "source": "indonesian", "source_before": 0.85,
             "source_after": source, "target_before": 0.5, "target_after": target, "model": "demo", "task": "demo", "setting": "same"}
    return words | changes


def plain(text: str) -> str:
    return text.replace("\\", "")


def test_no_runs_says_where_to_start_one(view):  # noqa: F811
    at = visit(view, PAGE)
    assert not at.exception and "Start one on the Fine-tune page" in texts(at) and not at.dataframe


def test_the_table_the_points_and_the_curves_are_of_the_runs(view):  # noqa: F811
    tuned(view)
    full = tuned(view, "full", after=(0.5, 0.75))
    at = visit(view, PAGE)
    assert not at.exception
    table = at.dataframe[0].value
    assert list(table["what"]) == ["Everything", "Circuit"] and list(table["state"]) == ["done", "done"]
    assert table["source accuracy"][0] == "0.850 → 0.500" and table["forgetting"].tolist() == pytest.approx([0.35, 0.05])
    assert table["gain"].tolist() == pytest.approx([0.25, 0.2]) and table["share"].tolist() == pytest.approx([0.1, 0.1])
    scatter, overlay = spec(at, 0), spec(at, 1)
    assert {(trace["name"], trace["x"][0], trace["y"][0]) for trace in scatter["data"]} == {("full", 0.5, 0.75), ("circuit", 0.8, 0.7)}
    assert {trace["name"] for trace in overlay["data"]} >= {"javanese, Everything", "indonesian, Circuit (2 heads)"}
    assert "“Circuit (2 heads)” kept most of Indonesian (0.85 → 0.80; 0.30 ahead of the next, beyond noise)" in plain(texts(at))
    at.session_state["compare_table"] = {"selection": {"rows": [0], "columns": []}}
    at.run()
    drawn = {trace["name"] for trace in spec(at, 1)["data"]}
    assert "javanese, Everything" in drawn and not any("Circuit" in name for name in drawn) and "Of the selected runs" in texts(at)
    button(at, "Delete selected").click().run()
    assert runs.get(full.id), "nothing is deleted before it is confirmed"
    button(at, "Delete for good").click().run()
    assert [run["what"] for run in results.compare()] == ["circuit"] and not at.exception


def test_active_runs_are_listed_but_are_no_point_and_cannot_be_deleted(view):  # noqa: F811
    tuned(view)
    run = tuned(view, "norms", steps=10, result=False)
    status = json.loads(run.file("status.json").read_text())
    run.file("status.json").write_text(json.dumps(status | {"state": "running", **dict(zip(("pid", "pid_started"), alive(), strict=True))}))
    at = visit(view, PAGE)
    assert list(at.dataframe[0].value["state"]) == ["running", "done"]
    assert [trace["name"] for trace in spec(at, 0)["data"]] == ["circuit"]
    at.session_state["compare_table"] = {"selection": {"rows": [0], "columns": []}}
    at.run()
    assert button(at, "Delete selected").disabled


def test_one_target_at_a_time_until_all_are_asked_for(view, tmp_path):  # noqa: F811
    both = state.View(**{**view.__dict__, "task": two_targets(tmp_path)})
    tuned(state.View(**{**both.__dict__, "target": "english"}))
    tuned(both)
    at = visit(both, PAGE)
    assert list(at.dataframe[0].value["target"]) == ["javanese"] and "1 of 2 runs are shown" in texts(at)
    at.selectbox(key="compare_target").set_value("").run()
    assert list(at.dataframe[0].value["target"]) == ["javanese", "english"] and not at.exception
    assert plain(texts(at)).count("One finished run on") == 2


def test_names_say_what_differs_and_stay_unique():
    full = row("full", 0.6, 0.7)
    rows = [row("circuit", 0.8, 0.7), row("circuit", 0.8, 0.7, seed=777), full, full, full | {"name": "mine"}]
    circuit = "Circuit (6 heads), seed"
    assert outcomes.names(rows) == [f"{circuit} 31", f"{circuit} 777", "Everything, seed 31", "Everything, seed 31 #2", "mine"]
    assert outcomes.names(rows[2:3]) == ["Everything"]


def test_the_summary_claims_no_more_than_the_rows():
    rows = [row("circuit", 0.84, 0.56), row("full", 0.6, 0.58), row("norms", 0.9, 0.9, state="stopped")]
    (text,) = outcomes.summary(rows, {"indonesian": 120, "javanese": 120})
    text = plain(text)
    assert "Of 2 finished runs on Javanese" in text and "“Circuit (6 heads)” kept most of Indonesian" in text
    assert "0.24 ahead of the next, beyond noise" in text
    assert "“Everything” reached most Javanese (0.50 → 0.58; 0.02 ahead of the next, within noise)" in text
    assert "One seed, 120 rows a language" in text and "differ in more" not in text
    (other,) = outcomes.summary([rows[0], rows[1] | {"setting": "longer"}], {})
    assert "differ in more than what moves" in other and "noise" not in other
    assert outcomes.summary([rows[2]], {}) == []
    assert "shared with the next" in outcomes.summary([rows[0], rows[0] | {"run": "again"}], {})[0]


def test_rows_that_changed_since_are_not_counted(view, tmp_path):  # noqa: F811
    run = tuned(view)
    assert outcomes.measured_on(run) == {"indonesian": 60, "javanese": 60}
    test = tmp_path / "task" / "javanese" / "test.csv"
    test.write_text(test.read_text(encoding="utf-8").rstrip().rpartition("\n")[0] + "\n", encoding="utf-8")
    state.load_rows.clear()
    assert outcomes.measured_on(run) == {}


def test_exports_hold_every_row_and_need_no_network(view):  # noqa: F811
    tuned(view)
    tuned(view, "full")
    rows = results.compare()
    assert [line["what"] for line in csv.DictReader(io.StringIO(results.table_csv(rows)))] == ["full", "circuit"]
    fig, left_out = comparing.overlay([rows[0], rows[1] | {"source_before": 0.1}], ["<b>a", "b"])
    assert left_out == 1
    page = comparing.page_of({"Curves <i>": fig}).decode()
    assert "Curves &lt;i&gt;" in page and "<b>a" not in page and "cdn.plot" not in page.split("plotly.js v")[0]
