"""Relevance: from nothing scored over the preview to the scores, built with the library on a tiny
model.
"""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.circuit.selection import select
from ctsft.plots import score_charts, score_maps
from ctsft.runs.folder import write_json
from ctsft.utils import format
from explorer.session import inputs, start_runs
from explorer.session.requests import score_request
from explorer.session.view import View
from support.pages import APP, charts, press, shown
from support.relevance_page import SIZE, opened, scored
from support.tasks import LABELS


def titles(app: AppTest) -> list[str]:
    return [chart["layout"].get("title", {}).get("text", "") for chart in charts(app)]


def test_nothing_scored_says_so_and_starts_once(view, monkeypatch):
    started = []
    monkeypatch.setattr(
        start_runs, "start_score", lambda view: started.append(view.scoring) or scored(view)
    )
    app = opened(view)
    assert not charts(app) and not started and "heads are not scored yet" in app.info[0].value
    press(app, "Score heads")
    assert started == [view.scoring] and titles(app)[0] == f"CD-T, {SIZE} examples"
    assert not [button for button in app.button if button.label == "Score heads"]


def test_the_map_its_hover_and_the_inspector(view, loaded):
    run = scored(view)
    app, scores = opened(view), Scores.load(run.file("scores.safetensors"))
    best = scores.ranking()[0]
    cells = next(trace for trace in charts(app)[0]["data"] if trace.get("name") == "heads")
    hover = dict(zip(map(tuple, cells["customdata"]), cells["text"], strict=True))[best]
    assert (
        f"{format.number(scores.values[best].item())} ± {format.number(scores.stderr[best].item())}"
        in hover
    )
    assert (
        "rank 1 of 12" in hover
        and "in the circuit: rank 1 by score" in hover
        and "shares keys and values" in hover
    )
    assert all(
        f"{label}: {format.number(values[best].item())}" in hover
        for label, values in scores.by_label.items()
    )
    assert app.session_state["view"].head == best == app.selectbox(key="w_head").value
    assert any(
        format.head_name(best) in text.value and "± standard error" in text.help
        for text in app.markdown
    )
    outlined = next(trace for trace in charts(app)[0]["data"] if trace.get("name") == "outline")
    assert outlined["x"].count(None) == len(select(scores, "top", k=6).heads)


def test_a_head_is_chosen_by_keyboard_and_survives_the_page(view):
    scored(view)
    app = opened(view)
    shown(app.selectbox(key="w_head").set_value((2, 3)).run())
    assert app.session_state["view"].head == (2, 3)
    assert any(trace.get("name") == "selected" for trace in charts(app)[0]["data"])
    assert any("L2.H3" in text.value for text in app.markdown)
    assert any(
        "Trained with L2.H2, which share its keys" in caption.value for caption in app.caption
    )
    shown(app.switch_page("setup/page.py").run())
    shown(app.switch_page("relevance/page.py").run())
    assert app.selectbox(key="w_head").value == (2, 3)


def test_panels(view):
    run = scored(view)
    app, scores, means = (
        opened(view, "All heads"),
        Scores.load(run.file("scores.safetensors")),
        Means.load(run.file("means.safetensors")),
    )

    def maps():
        return [
            chart
            for chart in charts(app)
            if any(trace["type"] == "heatmap" for trace in chart["data"])
        ][1:]

    by_label = [chart["data"][0] for chart in maps()]
    assert len(by_label) == 3 and len({trace["zmax"] for trace in by_label}) == 1
    assert np.allclose(
        [trace["z"] for trace in by_label], [scores.by_label[label] for label in LABELS]
    )
    shown(app.segmented_control(key="w_panel").set_value("Means").run())
    sizes, *away = [chart["data"][0] for chart in maps()]
    assert (
        np.allclose(sizes["z"], means.values.norm(dim=-1))
        and len(away) == 3
        and len({trace["zmax"] for trace in away}) == 1
    )
    assert np.allclose(away[0]["z"], (means.by_label[LABELS[0]] - means.values).norm(dim=-1))
    shown(app.segmented_control(key="w_panel").set_value("Distribution").run())
    assert any("threshold" in json.dumps(chart["layout"]) for chart in charts(app))
    shown(app.segmented_control(key="w_panel").set_value("One example").run())
    shown(app.selectbox(key="w_example").set_value(5).run())
    one, mean = maps()[0]["data"][0], charts(app)[0]["data"][0]
    assert np.allclose(one["z"], scores.per_example[5]) and one["zmax"] == pytest.approx(
        mean["zmax"]
    )
    pool = json.loads(run.file("pool.json").read_text())
    assert any(pool[5]["text"] in text.value for text in app.caption)


def test_preview_first_and_progress(view, monkeypatch):
    run = scored(view, preview=True)
    scores = run.file("scores.safetensors").read_bytes()
    run.file("scores.safetensors").unlink()
    monkeypatch.setattr(
        runs.Run,
        "status",
        lambda self: runs.Status(state="running", stage="CD-T", progress=0.4, eta=30),
    )
    app = opened(view)
    assert "Preview" in titles(app)[0] and "Preview" in app.info[0].value
    assert not [button for button in app.button if button.label == "Score heads"]
    assert (
        app.session_state["view"].head == Scores.load(run.file("preview.safetensors")).ranking()[0]
    )
    run.file("scores.safetensors").write_bytes(scores)
    monkeypatch.setattr(runs.Run, "status", lambda self: runs.Status(state="done"))
    shown(app.run())
    assert titles(app)[0] == f"CD-T, {SIZE} examples" and not any(
        "Preview" in info.value for info in app.info
    )
    last = Scores.load(run.file("scores.safetensors")).ranking()[0]
    assert (
        app.session_state["view"].head
        == last
        != Scores.load(run.file("preview.safetensors")).ranking()[0]
    )


def test_a_head_that_was_chosen_stays(view):
    run = scored(view)
    app = opened(view)
    ranking = Scores.load(run.file("scores.safetensors")).ranking()
    assert view.head == ranking[0]
    shown(app.selectbox(key="w_head").set_value(ranking[3]).run())
    assert shown(app.run()).session_state["view"].head == ranking[3]


def test_other_settings_are_not_scored_yet(view):
    scored(view)
    app = opened(view)
    assert charts(app)
    shown(app.number_input(key="w_pool_seed").set_value(1).run())
    assert not charts(app) and "Out of date" in app.info[0].value
    assert [button for button in app.button if button.label == "Score heads"]
    press(app, "Reset to defaults")
    shown(app.number_input(key="w_size").set_value(SIZE).run())
    assert charts(app)


def test_a_failed_run_is_told_in_its_own_words(view):
    with (
        pytest.raises(ValueError),
        runs.record(score_request(view)),
    ):
        raise ValueError("Only 3 of the 17 examples needed are predicted correctly.")
    app = opened(view)
    assert len(app.error) == 1 and "Only 3 of the 17" in app.error[0].value
    assert [button for button in app.button if button.label == "Score heads"]


@pytest.fixture
def first_scores(view, monkeypatch) -> list[str]:
    """The models that are scored; a tiny one stands for the bundled one."""
    from ctsft.model import model_files

    monkeypatch.setitem(model_files.BUNDLED_MODELS, "demo", Path(view.model))
    inputs.load_model.clear()
    started = []

    def start(view):
        with runs.record(score_request(view)) as run:
            started.append(view.model)
        return run

    monkeypatch.setattr(start_runs, "start_score", start)
    yield started
    inputs.load_model.clear()


def test_the_bundled_model_is_scored_without_a_request_once(first_scores):
    app = visited(View())
    shown(app.run())
    assert first_scores == ["demo"]
    for run in runs.list_runs():
        runs.delete(run)
    visited(View())
    assert first_scores == ["demo"], "not again, even where the scores were deleted"


def visited(view: View, query: dict | None = None, first: str = "") -> AppTest:
    """A session that opens a page by an address, and then goes to Relevance by a click."""
    app = AppTest.from_file(APP, default_timeout=60)
    app.session_state["view"] = view
    app.session_state["measured"] = set()
    app.query_params.update(query or {})
    if first:
        app.session_state["first_page"] = first  # as `arrival.note` does
    shown(app.run())
    return shown(app.switch_page("relevance/page.py").run())


def waiting_job():
    run = runs.Run(runs.home() / "runs" / "20260101-000000-finetune-abcd")
    run.path.mkdir(parents=True)
    write_json(run.file("request.json"), {"kind": "finetune"})
    write_json(run.file("status.json"), {"state": "queued", "heartbeat": time.time()})


@pytest.mark.parametrize(
    "opens",
    [
        lambda: visited(View(), first="relevance"),  # its address, typed or followed
        lambda: visited(View(), {"n": "50"}),
        lambda: visited(View(), {"made up": "1"}),
        lambda: visited(View(size=12)),
        lambda: visited(View(method="ablation")),
        lambda: waiting_job() or visited(View()),
    ],
    ids=["address", "link", "unknown link", "other size", "other method", "beside a job"],
)
def test_nothing_else_starts_a_run_by_itself(first_scores, opens):
    app = opens()
    assert first_scores == []
    assert [button for button in app.button if button.label == "Score heads"]
    assert not (runs.home() / start_runs.FIRST_SCORE).exists()


def made(values: torch.Tensor, labels: list[str]) -> Scores:
    return Scores(values, [f"e{i}" for i in range(len(labels))], labels, "cdt", ScoreConfig(), {})


def test_standard_errors_by_label():
    scores = made(torch.tensor([1.0, 3.0, 10.0, 10.0]).view(4, 1, 1), ["a", "a", "b", "b"])
    bars = score_charts.score_bars(scores, (0, 0)).data
    assert {bar.name: bar.x[0] for bar in bars} == {"a": 2.0, "b": 10.0}
    assert {bar.name: bar.error_x.array[0] for bar in bars} == {
        "a": pytest.approx(1 / 2**0.5),
        "b": 0.0,
    }


def test_reasons_and_cut():
    scores = made(torch.tensor([[[0.5, -1.0, 2.0, 0.1]]]), ["a"])
    circuit = select(scores, "top", k=2).edit({(0, 1)}, {(0, 2)})
    assert score_maps.membership_reason(circuit, (0, 0)) == "in the circuit: rank 2 by score"
    assert score_maps.membership_reason(circuit, (0, 1)) == "in the circuit: added by hand"
    assert score_maps.membership_reason(circuit, (0, 2)) == "not in the circuit: removed by hand"
    assert score_maps.membership_reason(circuit, (0, 3)) == "not in the circuit"
    # hand edits do not move it
    assert score_maps.score_cutoff(scores, circuit, 9.0) == pytest.approx(0.5)
    assert score_maps.score_cutoff(scores, select(scores, "threshold", threshold=0.3), 0.3) == 0.3
    assert score_maps.score_cutoff(scores, select(scores, "none"), 9.0) is None


def test_scores_can_be_saved_as_mib_reads_them(view):
    scored(view)
    labels = [one.proto.label for one in opened(view).get("download_button")]
    assert {"Scores (CSV)", "Scores (safetensors)", "Scores (MIB)"} <= set(labels)
