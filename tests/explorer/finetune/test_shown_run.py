"""The run that the Fine-tune page shows: finished, failed, lost, waiting, recorded."""

import json

import pytest
import torch
from safetensors.torch import save_file

from ctsft import runs
from ctsft.jobs.requests import request_of
from ctsft.runs.answers import Answers
from ctsft.tuning.checkpoints import TRAINED
from explorer import sidebar
from explorer.finetune import live_run
from explorer.session import view as session_view
from explorer.session.requests import competence_request
from explorer.text import outcomes
from explorer.widgets import run_progress
from support.finetune_page import score, tuned
from support.pages import at_work, button, spec, texts, visit
from support.tasks import write_task


def checkpoint(run: runs.Run, step: int = 5):
    folder = run.file("checkpoints") / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    (folder / "history.json").write_text("{}")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({}, folder / name)
    save_file({"x": torch.zeros(1)}, folder / TRAINED)


def test_a_finished_run_says_its_numbers_and_offers_everything(view, started):
    run = tuned(view)
    at = visit(view)
    said = texts(at)
    assert (
        "Javanese (target) 0.500 → 0.700, 2 texts lost, 14 won (p = 0.0084)" in said
        and "Indonesian (source) 0.850 → 0.800, 5 texts lost, 2 won (p = 0.45)" in said
    )
    assert "90 of 100 trained parameters changed. 10 kept their value." in said
    rests_on = next(text.help for text in at.markdown if "Javanese (target)" in text.value)
    assert all(text in rests_on for text in ("on the same 60 test rows", "Holm", "another seed"))
    lines = {trace["name"]: trace["y"] for trace in spec(at)["data"]}
    assert (
        lines["javanese"] == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7])
        and spec(at)["layout"]["shapes"][0]["line"]["dash"] == "dash"
    )
    button(at, "Compare with controls").click().run()
    (request,) = started  # nothing is scored here, so there are no near-zero heads to choose
    assert (request.tuning.what, request.tuning.circuit) == ("full", None)
    assert request.config == request_of(run).config and request.subject == view.subject
    assert at.selectbox(key="tune_run").value != run.id, "the new run is the one that is shown"


def test_a_finished_run_is_repeated_with_other_seeds_and_all_its_settings(view, started):
    run = tuned(view)
    at = visit(view)
    button(at, "Repeat over 4 seeds").click().run()
    first = request_of(run)
    assert [one.config.seed for one in started] == [777, 2025, 12345] and first.config.seed == 31
    for one in started:
        assert one.tuning == first.tuning and one.subject == first.subject
        assert one.config.model_copy(update={"seed": 31}) == first.config
    assert button(at, "Repeat over 4 seeds") is None, "they are waiting or done"


def test_controls_of_a_finished_run_have_its_rows_its_settings_and_its_size(view, started):
    scored, run = score(view), tuned(view)
    at = visit(view)
    button(at, "Compare with controls").click().run()
    first = request_of(run)
    assert [one.tuning.what for one in started] == ["near_zero", "random", "full"]
    assert [(one.tuning.scores, one.tuning.k) for one in started[:2]] == [(scored.id, 2)] * 2
    assert all(one.tuning.circuit is None and one.config == first.config for one in started)
    assert {(one.tuning.target, one.tuning.n) for one in started} == {(view.target, view.n)}


def test_runs_of_other_tasks_and_competence_runs_are_not_shown(view, tmp_path):
    other = session_view.View(**{**view.__dict__, "task": str(write_task(tmp_path / "other"))})
    tuned(other)
    with runs.record(competence_request(view)):
        pass
    at = visit(view)
    assert not at.exception and not [box for box in at.selectbox if box.label == "Run"]
    first, second = tuned(view), tuned(view, "full", after=(0.6, 0.7))
    at.run()
    assert at.selectbox(key="tune_run").options and at.selectbox(key="tune_run").value == second.id
    at.selectbox(key="tune_run").set_value(first.id).run()
    assert "0.850 → 0.800" in texts(at) and "0.850 → 0.600" not in texts(at)


def test_a_failed_run_shows_its_log_and_one_with_a_checkpoint_resumes(view, monkeypatch):
    run = tuned(view, steps=10, raising=ValueError("the loss is not finite"), result=False)
    at = visit(view)
    assert "failed: the loss is not finite" in texts(at) and "Traceback" in at.code[-1].value
    assert button(at, "Resume") is None, "nothing to resume from"
    checkpoint(run)
    resumed = []
    monkeypatch.setattr(runs, "resume", lambda run: resumed.append(run.id))
    at.run()
    button(at, "Resume").click().run()
    assert resumed == [run.id] and not at.exception


def test_a_lost_run_is_told_and_a_running_one_is_watched(view):
    run = tuned(view, steps=10, result=False)
    at_work(run, stage="tuning", progress=0.5, pid=1, pid_started=-1.0)
    at = visit(view)
    assert "was lost" in texts(at) and not button(at, live_run.PAUSE)
    at_work(run, stage="tuning", progress=0.5, eta=30.0)
    at.run()
    assert button(at, live_run.PAUSE) and "1 run is active" in texts(at)
    assert len(spec(at)["data"][0]["x"]) == 3
    before = at.session_state["tune_curves"][2]
    at.run()
    assert at.session_state["tune_curves"][2] is before, "no new rows, no new figure"
    with open(run.file("events.jsonl"), "a") as events:
        events.write(
            json.dumps(
                {
                    "kind": "evaluation",
                    "step": 15,
                    "steps": 20,
                    "accuracy": {"indonesian": 0.8, "javanese": 0.6},
                }
            )
            + "\n"
        )
    at.run()
    assert spec(at)["data"][0]["x"][-1] == 15
    button(at, live_run.PAUSE).click().run()
    assert run.file("stop").read_text() == "keep"


def test_an_outcome_without_stored_answers_has_no_test():
    row = {
        "run": "a-run",
        "what": "full",
        "heads": None,
        "source": "indonesian",
        "target": "toba_batak",
        "source_before": 0.5,
        "source_after": 0.25,
        "target_before": 0.25,
        "target_after": 0.25,
    }
    source = Answers("test", "h", tuple("abcd"), "1100", "0100")
    target = Answers("test", "h", tuple("abcd"), "1000", "1000")
    said = outcomes.outcome(row, {"indonesian": source, "toba_batak": target}).replace("\\", "")
    assert "Toba batak (target) 0.250 → 0.250, 0 texts lost, 0 won (p = 1)" in said
    assert "0.500 → 0.250, 1 text lost, 0 won (p = 1)" in said and "4 test rows" in said
    way = row | {"source_lowest": 0.25, "source_area_lost": 0.125}
    assert "went down to 0.250, and lost +0.125 on average" in outcomes.outcome(way, {})
    assert "On the way" not in said
    bare = outcomes.outcome(row, {})
    assert "not stored" in bare and "McNemar" not in bare and "0.500 → 0.250" in bare


def test_a_run_that_waits_for_its_turn_says_for_which(view):
    with runs.record(runs.Request(kind="finetune")) as run:
        run.progress(1, 4, "tuning")
        assert run_progress.sentence(run).startswith(
            "starting"
        ) or "tuning" in run_progress.sentence(run)
        run.waits("waiting for run other")
        assert (
            run_progress.sentence(run) == "queued · waiting for run other"
            and sidebar.finetune() == "queued"
        )
        run.waits("")
        assert run.status().state == "running" and sidebar.finetune().startswith("running")


def test_of_recorded_runs_the_one_that_the_form_names_is_shown_first(view, monkeypatch):
    score(view)
    circuit, near_zero = tuned(view), tuned(view, "near_zero")
    shown = visit(view).selectbox(key="tune_run")
    assert shown.value == near_zero.id, "one's own runs: the newest"
    monkeypatch.setattr(live_run, "origin_of", lambda run: "recorded")
    at = visit(view)
    assert not at.exception and at.selectbox(key="tune_run").value == circuit.id
    assert at.session_state.view.tune_run == "", "a link names only another choice"
