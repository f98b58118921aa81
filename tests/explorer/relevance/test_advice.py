"""Advice on which heads should be trained, on Relevance: computed once for its rows, drawn as the
library returns it, used as the circuit; never on test rows.
"""

from dataclasses import replace

import numpy as np
import pytest

from ctsft import runs
from ctsft.data.registry import load_task
from ctsft.data.task import balanced_sample
from ctsft.jobs.advice import advice_rows, advise
from ctsft.tuning.head_advice import advise_heads
from explorer.session.requests import advise_request
from explorer.widgets import cost_estimate, run_progress
from support.pages import charts, press, shown
from support.relevance_page import opened, scored
from support.tasks import LABELS


@pytest.fixture
def asked(view, monkeypatch):
    """The page's run, done at once, and what it was started with."""
    started = []

    def start(request):
        started.append(request)
        with runs.record(request) as run:
            advise(run, request)
        return run

    monkeypatch.setattr(run_progress.runs, "start", start)
    monkeypatch.setattr(cost_estimate, "of_rows", lambda *words: None)
    return started


def maps(app) -> dict:
    return {
        chart["layout"]["title"]["text"]: chart
        for chart in charts(app)
        if chart["data"][0]["type"] == "heatmap"
    }


def test_asked_once_drawn_as_the_library_says_and_taken_as_the_circuit(view, loaded, asked):
    scored(view)
    app = opened(replace(view, n=12, k=3), "Advice")
    assert "Worth training" not in maps(app)
    press(app, "Compute advice")
    (request,) = asked
    assert (request.kind, request.n, request.k) == ("advise", 12, 3)
    assert request.subject.split == "train"
    assert not [
        button
        for button in app.button
        if button.label.startswith(("Compute advice", "Compute again"))
    ]
    task = load_task(view.task)
    train, source = (task.load(language, "train") for language in ("javanese", "indonesian"))
    ranking = advise_heads(
        loaded["qwen2"],
        task,
        balanced_sample(train, 12, LABELS, view.tune_seed),
        advice_rows(task, source),
    ).ranking()
    drawn = maps(app)["Worth training"]
    assert np.allclose(
        drawn["data"][0]["z"],
        (ranking.table("value") / ranking.table("value").max()).sqrt(),
        atol=1e-4,
    )
    numbers = {
        (note["y"], note["x"]): note["text"]
        for note in drawn["layout"]["annotations"]
        if note.get("name") == "rank"
    }
    assert numbers == {head: f"<b>{i}</b>" for i, head in enumerate(ranking.order[:3], 1)}
    for shown_now, title, values in (
        ("asks", "Target gradient", ranking.table("gradient")),
        ("costs", "Source loss", ranking.table("fisher").sqrt()),
    ):
        shown(app.segmented_control(key="w_advice_map").set_value(shown_now).run())
        assert np.allclose(maps(app)[title]["data"][0]["z"], values, rtol=1e-4)
    points = next(
        chart
        for chart in charts(app)
        if {"others", "advised"} <= {trace.get("name") for trace in chart["data"]}
    )
    assert sum(len(trace["customdata"]) for trace in points["data"] if "customdata" in trace) == 12
    assert any("rank correlation of advice and relevance" in text.value for text in app.markdown)
    press(app, "Use the 3 advised heads as the circuit")
    now = app.session_state["view"]
    assert (now.rule, now.k) == ("advised", 3) and now.past[-1]["rule"] == "top"
    outline = next(trace for trace in charts(app)[0]["data"] if trace.get("name") == "outline")
    assert outline["x"].count(None) == 3
    assert next(button for button in app.button if button.label.startswith("Use the 3")).disabled
    assert any("current circuit is what is advised" in text.value for text in app.markdown)


def test_other_rows_are_told_and_asked_again(view, asked):
    scored(view)
    app = opened(replace(view, n=6), "Advice")
    press(app, "Compute advice")
    shown(app.number_input(key="w_n").set_value(9).run())
    assert "Worth training" in maps(app) and any(
        "from 6 rows drawn with seed 31. With the current settings, Fine-tune will use 9"
        in one.value
        for one in app.warning
    )
    press(app, "Compute again")
    assert len(asked) == 2 and not app.warning
    shown(app.number_input(key="w_n").set_value(6).run())
    # what was asked is remembered
    assert not app.warning and len(asked) == 2


def test_a_failed_run_is_told_and_can_be_asked_again(view, monkeypatch):
    scored(view)
    with pytest.raises(ValueError), runs.record(advise_request(view, 2)):
        raise ValueError("No room for gradients.")
    app = opened(view, "Advice")
    assert any("No room for gradients" in error.value for error in app.error)
    assert [button for button in app.button if button.label == "Compute advice"]


def test_never_on_test_rows_and_not_without_a_target(view, tmp_path):
    scored(replace(view, split="test"))
    app = opened(replace(view, split="test"), "Advice")
    assert any("never uses test rows" in info.value for info in app.info)
    assert not [
        button
        for button in app.button
        if button.label.startswith(("Compute advice", "Compute again"))
    ]


def test_the_cost_is_told_before(view):
    scored(view)
    assert any("Advice would take" in caption.value for caption in opened(view, "Advice").caption)
