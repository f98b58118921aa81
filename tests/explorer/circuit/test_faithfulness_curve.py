"""The faithfulness curve of the Circuit page, and the run that measures it."""

import math
from dataclasses import replace

import pytest

from ctsft import runs
from ctsft.jobs import faithfulness
from ctsft.jobs.requests import FaithfulnessRequest
from ctsft.plots import faithfulness as plots_faithfulness
from support.circuit_page import keep, opened
from support.pages import button, chart, shown, widget


def measured(rows, scores: str, n_random: int = 10) -> runs.Run:
    request = FaithfulnessRequest(scores=scores, n_random=n_random)
    with runs.record(request) as run:
        for row in rows:
            run.event(**row)
    return run


ROWS = [
    {"size": size, "kind": kind, "seed": seed, "accuracy": accuracy, "margin": margin}
    for size, kind, seed, accuracy, margin in [
        (0, "ranked", 0, 0.0, 0.0),
        (3, "ranked", 0, 0.8, 0.7),
        (3, "random", 0, 0.1, 0.2),
        (3, "random", 1, 0.3, -0.2),
        (3, "random", 2, 0.2, 0.4),
        (6, "ranked", 0, 0.9, 0.95),
        (12, "ranked", 0, 1.0, 1.0),
    ]
]


def test_the_curve_of_a_finished_run(view):
    scored = keep(view)
    before = len(opened(view).get("plotly_chart"))
    measured(ROWS, scores="another")
    assert len(opened(view).get("plotly_chart")) == before, "a curve of other scores is not shown"
    measured(ROWS, scores=scored.id, n_random=3)
    app = opened(view)
    assert len(app.get("plotly_chart")) == before + 1
    fig = chart(app, -1)
    lines = {trace["name"]: (trace["x"], trace["y"]) for trace in fig["data"]}
    assert lines["circuit"] == ([0, 3, 12], [0.0, 0.8, 1.0]) and lines["random, median"][1] == [
        0.0,
        0.2,
        1.0,
    ]
    assert lines["random, low to high"][1] == [0.0, 0.3, 1.0, 1.0, 0.1, 0.0], "high there, low back"
    assert [
        shape["x0"] for shape in fig["layout"]["shapes"] if shape.get("x0") == shape.get("x1")
    ] == [3], "the circuit's size is marked"
    assert any(
        "is 0.80; that of random circuits of this size is 0.20 (median; lowest 0.10, highest 0.30)"
        in one.value
        for one in app.caption
    )
    shown(widget(app.button_group, "By").set_value("margin").run())
    assert {trace["name"]: trace["y"] for trace in chart(app, -1)["data"]}["circuit"] == [
        0.0,
        0.7,
        1.0,
    ]
    assert any("lowest −0.20" in one.value for one in app.caption)


def test_where_full_and_empty_agree_it_says_so_instead_of_a_curve(view):
    scored = keep(view)
    measured([row | {"accuracy": math.nan} for row in ROWS], scores=scored.id)
    app = opened(view)
    charts = len(app.get("plotly_chart"))
    assert "exactly as well" in app.info[-1].value
    shown(widget(app.button_group, "By").set_value("margin").run())
    assert len(app.get("plotly_chart")) == charts + 1 and not app.info


def test_the_button_starts_the_curve_of_these_scores(view, monkeypatch):
    scored, started = keep(view), []

    def start(request):
        started.append(request)
        return measured([], request.scores)

    monkeypatch.setattr(runs, "start", start)
    app = opened(view)
    shown(widget(app.number_input, "Random circuits").set_value(4).run())
    shown(button(app, "Measure faithfulness against size").click().run())
    (request,) = started
    assert (request.kind, request.scores, request.n_random) == ("faithfulness", scored.id, 4)
    assert request.subject == replace(view.subject, split="valid")


def test_the_jobs_own_events_are_what_the_chart_reads(view):
    scored = keep(view)
    request = FaithfulnessRequest(
        subject=replace(view.subject, split="valid"), scores=scored.id, sizes=(0, 2, 12), n_random=2
    )
    with runs.record(request) as run:
        result = faithfulness.measure_faithfulness(run, request)
    rows = plots_faithfulness.curve_rows(run.events())
    assert len(rows) == 5 == len(result["points"]) and plots_faithfulness.curve_series(
        rows, "margin", 12
    )[0] == [
        0,
        2,
        12,
    ]
    assert plots_faithfulness.curve_series(rows, "margin", 12)[1][::2] == pytest.approx([0, 1])


def test_a_size_appears_with_its_first_random_circuit():
    sizes = [
        plots_faithfulness.curve_series(ROWS[:n], "accuracy", 12)[0] for n in range(len(ROWS) + 1)
    ]
    assert sizes == [[], [0], [0], [0, 3], [0, 3], [0, 3], [0, 3], [0, 3, 12]]
    assert plots_faithfulness.curve_sentence(
        ROWS[:1], "accuracy", 3, 12
    ) == "" and "measured size nearest to 5" in plots_faithfulness.curve_sentence(
        ROWS, "accuracy", 5, 12
    )
    ranges = {
        tuple(plots_faithfulness.size_curve(ROWS[:n], "accuracy", 3, 12).layout.xaxis.range)
        for n in (0, 1, 5, 7)
    }
    assert len(ranges) == 1, "the axis does not move while sizes arrive"
