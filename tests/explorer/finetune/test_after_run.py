"""The Fine-tune page's curves of several runs, its log, and what it offers once a run is over;
nothing is trained but a step.
"""

import json
from dataclasses import replace

import pytest

from ctsft import runs
from ctsft.jobs import rescoring
from ctsft.jobs.command_line import arguments
from ctsft.jobs.requests import RescoreRequest, Scoring
from ctsft.tuning.delta import Delta
from explorer import guard
from explorer.finetune import live_run
from support.finetune_page import really_tuned, score, tuned
from support.pages import at_work, button, charts, metric, spec, texts, visit, widget
from support.tasks import agreed


@pytest.fixture
def done(folders, loaded, task, tmp_path):
    """A really tuned run of a tiny model, and the view it belongs to."""
    return really_tuned(folders["qwen2"], agreed(loaded["qwen2"], task, each=12), tmp_path)


def test_runs_are_drawn_together_and_each_says_what_it_is(view):
    first, second = tuned(view), tuned(view, "full", after=(0.6, 0.7))
    at = visit(view)
    assert at.multiselect(key="w_overlaid").value == [first.id], (
        "the last run with the same settings is drawn with it"
    )
    assert "training loss" not in {trace["name"] for trace in spec(at)["data"]}
    at.multiselect(key="w_overlaid").set_value([]).run()
    widget(at.toggle, "Training loss").set_value(True).run()
    assert {"javanese", "indonesian", "training loss"} == {
        trace["name"] for trace in spec(at)["data"]
    }
    at.multiselect(key="w_overlaid").set_value([first.id]).run()
    drawn = {trace["name"]: trace for trace in spec(at)["data"]}
    one, two = drawn["javanese, Everything"], drawn["javanese, Circuit (2 heads)"]
    assert one["line"]["color"] != two["line"]["color"], "colour shows the way of tuning"
    assert not at.exception
    at.selectbox(key="tune_run").set_value(first.id).run()
    assert at.multiselect(key="w_overlaid").value == [second.id], (
        "a run does not stand beside itself, and again the last one with its settings does"
    )
    at.session_state["view"].overlaid = [second.id]
    runs.delete(second)
    at.run()
    assert not at.exception and {trace["name"] for trace in spec(at)["data"]} >= {
        "javanese",
        "training loss",
    }


def test_a_related_language_has_its_own_role(view):
    run = tuned(view)
    rows = run.events()
    run.file("events.jsonl").write_text(
        "".join(
            json.dumps(row | {"accuracy": row["accuracy"] | {"madurese": 0.3}}) + "\n"
            for row in rows
        )
    )
    at = visit(view)
    colours = {trace["name"]: trace["line"]["color"] for trace in spec(at)["data"]}
    assert len({colours["indonesian"], colours["javanese"], colours["madurese"]}) == 3


def test_the_log_on_request_and_what_a_closed_tab_means(view, monkeypatch):
    run = tuned(view, steps=10, result=False)
    run.file("log.txt").write_text("tuning ...\n<b>not bold</b>\n")
    at_work(run, stage="tuning", progress=0.5, eta=30.0)
    at = visit(view)
    assert (
        "continues when this tab or the server is closed" in texts(at)
        and button(at, live_run.PAUSE)
        and button(at, "Discard")
    )
    assert not any("not bold" in code.value for code in at.code)
    at.toggle(key="w_log").set_value(True).run()
    assert any(code.value.endswith("<b>not bold</b>") for code in at.code), "as text"
    button(at, "Discard").click().run()
    assert runs.get(run.id), "discarding asks first"
    monkeypatch.setenv(guard.SHARED, "1")
    at = visit(view)
    assert button(at, "Discard").disabled and button(at, live_run.PAUSE).disabled


def test_the_slider_answers_from_the_shares_that_were_measured(done):
    """Nothing is evaluated: the figures are those of result.json. A share is stored on request."""
    run, tuned_view = done
    result = json.loads(run.file("result.json").read_text())
    for point in result["shares"]["points"]:
        point["accuracy"] = {"indonesian": 1 - point["share"] / 4, "javanese": point["share"] / 2}
    run.file("result.json").write_text(json.dumps(result))
    at = visit(tuned_view)
    assert f"{result['outside']['parameters']:,} parameters outside" in texts(at)
    (shares,) = [one for one in charts(at) if "share of the change" in json.dumps(one["layout"])]
    drawn = {trace["name"]: trace for trace in shares["data"]}
    assert (
        drawn["javanese"]["y"][4] == 0.2 and "javanese (target)" in shares["layout"]["meta"]["alt"]
    )
    assert metric(at, "Javanese") == "0.500" and not button(at, "Keep this share")
    at.select_slider(key=f"share_{run.id}").set_value(0.4).run()
    assert (metric(at, "Indonesian"), metric(at, "Javanese")) == ("0.900", "0.200")
    button(at, "Keep this share").click().run()
    share_file = run.file("delta-share-0.4.safetensors")
    assert not at.exception and any(code.value == str(share_file) for code in at.code)
    assert Delta.load(share_file).about["share"] == 0.4
    result["outside"] |= {"identical": 3, "text": "7 of 10 parameters differ."}
    run.file("result.json").write_text(json.dumps(result))
    assert "7 of 10" in [one.value for one in visit(tuned_view).error][0]


def test_what_changed_is_a_map_and_a_sentence(done):
    run, tuned_view = done
    at = visit(tuned_view)
    assert not at.exception and spec(at)["layout"]["title"]["text"] == "Change by head"
    assert "of 12 heads changed" in texts(at) and "The norms changed by" in texts(at)
    assert "2 in the circuit" in spec(at)["layout"]["meta"]["alt"], (
        "the two that were chosen are outlined"
    )


def test_whether_the_circuit_moved_is_asked_by_a_run_of_its_own(done, started):
    run, tuned_view = replace_panel(done, "Did the circuit change?")
    at = visit(tuned_view)
    button(at, "Score the tuned model").click().run()
    (request,) = started
    assert (request.kind, request.tuned, request.k) == ("rescore", run.id, 2)
    assert request.scoring == tuned_view.scoring


def test_the_answer_stands_beside_the_maps(done):
    run, tuned_view = replace_panel(done, "Did the circuit change?")
    request = RescoreRequest(tuned=run.id, scoring=Scoring(size=6, method="atp"), k=2)
    with runs.record(request) as again:
        words = rescoring.rescore(again, request)
    at = visit(tuned_view)
    said = "\n".join(element.value for element in at.markdown)
    assert (
        f"{len(words['stayed'])} of the 2 top heads before tuning" in said
        and "rank correlation" in said
        and not at.exception
    )
    maps = [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")][-3:]
    assert [one["layout"]["title"]["text"] for one in maps] == [
        "before tuning",
        "after tuning",
        "after tuning − before tuning",
    ]
    limits = [one["data"][0]["zmax"] for one in maps]
    assert limits[0] == limits[1], "one scale for both"


def test_files_and_export(done, started):
    run, tuned_view = replace_panel(done, "Files and export")
    at = visit(tuned_view)
    shown = [code.value for code in at.code]
    assert str(run.file("delta.safetensors")) in shown
    button(at, "Export the tuned model").click().run()
    (request,) = started
    folder = runs.home() / "exports" / run.id
    assert (request.kind, request.tuned, request.to) == ("export", run.id, str(folder))
    folder.mkdir(parents=True)
    at.run()
    assert (
        str(folder) in [code.value for code in at.code]
        and button(at, "Export the tuned model") is None
    )


def test_a_changed_model_is_told_in_a_sentence(done, folders, tmp_path):
    run, tuned_view = done
    content = json.loads(run.file("request.json").read_text())
    content["subject"]["model"] = content["facts"]["model"] = str(folders["llama"])
    run.file("request.json").write_text(json.dumps(content))
    at = visit(replace(tuned_view, model=str(folders["llama"])))
    assert not at.exception and any(
        "belongs to a model with the fingerprint" in error.value for error in at.error
    )


def replace_panel(done, panel: str):
    run, tuned_view = done
    return run, replace(tuned_view, after_panel=panel)


def test_the_advanced_settings_reach_the_command(view, started):
    score(view)
    at = visit(view)
    at.selectbox(key="w_kv").set_value("expand").run()
    at.selectbox(key="w_norms").set_value(False).run()
    at.selectbox(key="w_eval_split").set_value("test").run()
    at.number_input(key="w_accumulate").set_value(2).run()
    button(at, "Start tuning").click().run()
    (request,) = started
    assert not at.exception and request.subject == view.subject
    assert {"--kv", "--no-norms", "--eval-split", "--final-split", "--accumulate"} <= set(
        arguments(request)
    )
    assert request.config.norms is False and request.tuning.eval_split == "test"
    assert request.tuning.final_split is None, "the rows of the curves"
    at.radio(key="w_what").set_value("full").run()
    assert at.selectbox(key="w_kv").disabled, "what the chosen way does not read is greyed out"
    at.toggle(key="w_every_way").set_value(True).run()
    at.radio(key="w_what").set_value("lora").run()
    at.multiselect(key="w_lora_targets").set_value([]).run()
    assert button(at, "Start tuning").disabled and "at least one map" in texts(at)


@pytest.mark.parametrize("tab", ["One run", "Experiment"])
def test_every_setting_has_help(view, tab):
    score(view)
    tuned(view)
    tuned(view, "full")
    at = visit(replace(view, tune_tab=tab, every_way=True, what="lora"))
    settings = [
        *at.main.selectbox,
        *at.main.number_input,
        *at.main.multiselect,
        *at.main.text_input,
        *at.main.radio,
        *at.main.toggle,
    ]
    assert len(settings) > 12 and [one.label for one in settings if not one.help] == []
