"""The Compare page on run folders made here; nothing is trained."""

import hashlib
import json

import pytest

from benchmarks.bench_compare import make
from ctsft import runs
from ctsft.jobs import tuning_table
from ctsft.plots.style import METHOD_COLOURS
from ctsft.runs import results
from explorer import guard
from explorer.session import own_runs
from explorer.session import view as session_view
from support.compare_page import PAGE, chosen, plain, table_of
from support.finetune_page import tuned, two_targets
from support.pages import at_work, button, spec, texts, visit


def test_no_runs_says_where_to_start_one(view):
    at = visit(view, PAGE)
    assert not at.exception and "Start one on the Fine-tune page" in texts(at) and not at.dataframe


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


def test_active_runs_are_listed_but_are_no_point_and_cannot_be_deleted(view):
    tuned(view)
    run = tuned(view, "norms", steps=10, result=False)
    at_work(run)
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
