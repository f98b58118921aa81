"""Relevance's linked views: the selected head on the chosen example, one way of scoring against
another, one language beside another.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from ctsft import runs
from ctsft.attribution.head_view import view_head
from ctsft.attribution.means import Means
from ctsft.attribution.position_scores import PositionScores
from ctsft.attribution.scores import Scores
from ctsft.data.registry import load_task
from ctsft.jobs import scoring
from ctsft.jobs.requests import request_of
from explorer.relevance import heads_by_position
from explorer.session import computed, inputs, score_runs, start_runs
from explorer.session.requests import score_request
from support.pages import charts, press, receipts, shown
from support.relevance_page import opened, scored


@pytest.fixture(autouse=True)
def fresh():
    """Nothing that another test's run left in the shared caches."""
    for cache in (computed.head_view, computed.cost, computed._answers):
        cache.clear()


def named(app, *names) -> dict:
    return next(
        chart
        for chart in charts(app)
        if [trace.get("name") for trace in chart["data"]][: len(names)] == list(names)
    )


def asked(view, run, model, index, head):
    """What the library says of a head on an example of a run."""
    task, means = load_task(view.task), Means.load(run.file("means.safetensors"))
    example = json.loads(run.file("pool.json").read_text())[index]
    row = next(row for row in task.load(view.source, view.split) if row.id == example["id"])
    return view_head(model, task, row, means, head, view.method)


def test_the_selected_head_on_the_chosen_example(view, loaded):
    run = scored(view)
    app = opened(view, "On a text")
    shown(app.selectbox(key="w_head").set_value((1, 2)).run())
    shown(app.selectbox(key="w_example").set_value(3).run())
    head_view = asked(view, run, loaded["qwen2"], 3, (1, 2))
    bars = named(app, "relevance", "attention")
    assert np.allclose(bars["data"][0]["x"], head_view.relevance, atol=1e-5) and np.allclose(
        bars["data"][1]["x"], head_view.attention[-1], atol=1e-5
    )
    whole = Scores.load(run.file("scores.safetensors")).per_example[3, 1, 2].item()
    assert any(
        f"split at all tokens at once, is {whole:.3g}".replace("-", "−") in caption.value
        for caption in app.caption
    )
    shown(app.segmented_control(key="w_head_view").set_value("Attention pattern").run())
    n = len(head_view.pieces)
    heat = next(
        trace
        for chart in charts(app)
        for trace in chart["data"]
        if trace["type"] == "heatmap" and len(trace["z"]) == n
    )
    assert np.allclose(heat["z"], head_view.attention, atol=1e-5)
    shown(app.segmented_control(key="w_head_view").set_value("Direct effect").run())
    drawn = [
        trace["x"]
        for chart in charts(app)
        for trace in chart["data"]
        if trace["type"] == "bar" and not trace.get("name")
    ]
    assert any(
        len(x) == 3 and np.allclose(x, list(head_view.labels.values()), atol=1e-5) for x in drawn
    )
    assert any(
        len(x) == 20 and np.allclose(x[:10], [value for _, value in head_view.promoted], atol=1e-5)
        for x in drawn
    )


def strip(app) -> dict:
    """What the strip of tokens is given."""
    protos = [one.proto for one in app.get("bidi_component")]
    return next(json.loads(one.json) for one in protos if one.component_name == "token_strip")


def test_the_strip_says_which_token_a_head_reads(view, loaded):
    run = scored(view)
    app = opened(view, "On a text")
    shown(app.selectbox(key="w_head").set_value((1, 2)).run())
    shown(app.selectbox(key="w_example").set_value(3).run())
    head_view, given = asked(view, run, loaded["qwen2"], 3, (1, 2)), strip(app)
    assert given["tokens"] == head_view.pieces and given["readout"] == head_view.readout
    assert np.allclose(given["effects"], head_view.by_source, atol=1e-5)
    assert np.allclose(given["attention"], head_view.attention, atol=1e-5)


def test_the_examples_on_which_a_head_counts_most_are_one_click_away(view):
    run = scored(view)
    app = opened(view, "On a text")
    shown(app.selectbox(key="w_head").set_value((1, 2)).run())
    values = Scores.load(run.file("scores.safetensors")).per_example[:, 1, 2].abs().tolist()
    order = sorted(range(len(values)), key=lambda i: -values[i])[:5]
    offered = [one for one in app.button if one.key and one.key.startswith("strongest-")]
    assert [values[int(one.key.split("-")[1])] for one in offered] == [values[i] for i in order]
    shown(offered[1].click().run())
    assert app.session_state["view"].example == int(offered[1].key.split("-")[1])


def test_a_text_of_ones_own_takes_the_examples_place(view, loaded):
    scored(view)
    app = opened(view, "On a text")
    before = strip(app)["tokens"]
    shown(app.text_input(key="w_own_text").set_value("good bad good").run())
    tokens = "".join(strip(app)["tokens"])
    assert tokens == "good bad good | sentiment:" and strip(app)["tokens"] != before
    assert not [one for one in app.selectbox if one.key == "w_example"]


def test_a_large_model_is_run_only_when_asked(view, monkeypatch):
    scored(view)
    monkeypatch.setattr(inputs, "SMALL", 10)
    app = opened(view, "On a text")
    assert not any(
        [trace.get("name") for trace in chart["data"]][:2] == ["relevance", "attention"]
        for chart in charts(app)
    )
    press(app, "Inspect heads")
    assert named(app, "relevance", "attention")


def test_data_that_changed_since_is_told(view, tmp_path):
    run = scored(view)
    pool = json.loads(run.file("pool.json").read_text())
    run.file("pool.json").write_text(json.dumps([row | {"text": "other"} for row in pool]))
    assert any(
        "is no longer in the data" in error.value for error in opened(view, "On a text").error
    )


def test_one_way_of_scoring_against_another(view, monkeypatch):
    run, started = scored(view), []
    monkeypatch.setattr(
        start_runs, "start_score", lambda view: started.append(view.method) or scored(view)
    )
    app = opened(view, "Compare")
    assert app.selectbox(key="w_compared_method").value == "ablation" and any(
        "has not scored these examples yet" in info.value for info in app.info
    )
    assert any(
        "Mean ablation would take" in caption.value and "memory" in caption.value
        for caption in app.caption
    )
    press(app, "Score with Mean ablation")
    assert started == ["ablation"]
    points = next(
        chart
        for chart in charts(app)
        if any(
            "Spearman" in note.get("text", "") for note in chart["layout"].get("annotations", [])
        )
    )
    cells = {
        tuple(at): (x, y)
        for at, x, y in zip(
            *(points["data"][0][name] for name in ("customdata", "x", "y")), strict=True
        )
    }
    other = Scores.load(
        score_runs.find_same(score_request(replace(view, method="ablation"))).file(
            "scores.safetensors"
        )
    )
    mine = Scores.load(run.file("scores.safetensors"))
    assert len(cells) == 12 and all(
        cells[at] == pytest.approx((mine.values[at].item(), other.values[at].item()))
        for at in cells
    )


def test_another_language_beside(view, monkeypatch):
    run = scored(view)
    monkeypatch.setattr(start_runs, "start_score", lambda view: scored(view))
    app = opened(view, "Compare")
    shown(app.segmented_control(key="w_comparison").set_value("Side by side").run())
    assert any(
        "There are no other scores with the same settings yet" in info.value for info in app.info
    )
    shown(app.number_input(key="w_compared_size").set_value(6).run())
    press(app, "Score javanese")
    other = score_runs.find_run(
        "score", lambda request: request.subject == replace(view, source="javanese").subject
    )
    assert request_of(other).scoring.size == 6
    first, second = (Scores.load(one.file("scores.safetensors")).values for one in (run, other))
    maps = {
        chart["layout"]["title"]["text"]: chart["data"][0]
        for chart in charts(app)
        if chart["data"][0]["type"] == "heatmap"
    }
    assert np.allclose(maps["javanese"]["z"], second) and np.allclose(
        maps["javanese − indonesian"]["z"], second - first
    )
    assert (
        maps["indonesian"]["zmax"]
        == maps["javanese"]["zmax"]
        != maps["javanese − indonesian"]["zmax"]
    )


def test_the_cost_stands_before_the_button(view):
    app = opened(view, "Compare")
    assert any(
        "Scoring would take" in caption.value and "12 texts" in caption.value
        for caption in app.caption
    )


def test_the_top_heads_by_position_are_those_of_their_run(view):
    """A button at first; then the run's maps: tokens of the example, positions of the pool."""
    run = scored(view)
    app = opened(view, "On a text")
    shown(app.segmented_control(key="w_head_view").set_value("Top heads").run())
    assert any("by position" in button.label for button in app.button)
    request = heads_by_position.request(view, [(0, 1), (1, 2)])
    with runs.record(request) as by_position:
        scoring.score(by_position, request)
    shown(app.run())
    assert by_position.id in receipts(app)
    positions = PositionScores.load(by_position.file("positions.json"))
    assert (
        positions.heads == [(0, 1), (1, 2)]
        and positions.examples == Scores.load(run.file("scores.safetensors")).examples
    )
    maps = [
        trace["z"]
        for chart in charts(app)
        for trace in chart["data"]
        if trace["type"] == "heatmap" and len(trace["z"]) == 2
    ]
    example = app.session_state["view"].example
    assert any(
        np.shape(z) == positions.on_text(example).shape
        and np.allclose(z, positions.on_text(example))
        for z in maps
    )
    assert any(np.allclose(np.array(z)[:, -1], positions.values[:, -1]) for z in maps)
