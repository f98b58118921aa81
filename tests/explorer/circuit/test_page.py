"""Circuit: the rule, the clicks, the counters, the file and the faithfulness chart, on a tiny model
with scores made by hand.
"""

import math
from dataclasses import replace

import pytest
import streamlit as st

from ctsft import runs
from ctsft.circuit.advice_ranking import Ranking
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.jobs import faithfulness
from ctsft.jobs.requests import AdviseRequest, FaithfulnessRequest
from ctsft.plots import faithfulness as plots_faithfulness
from ctsft.tuning import trainable
from explorer.circuit import head_table
from explorer.session import binding
from explorer.session import circuit as session_circuit
from explorer.text import circuit_rules
from support.circuit_page import HEADS, LAYERS, heads_shown, keep, made, opened, outlined, strip
from support.pages import button, chart, shown, widget


def measured(rows, scores: str, n_random: int = 10) -> runs.Run:
    request = FaithfulnessRequest(scores=scores, n_random=n_random)
    with runs.record(request) as run:
        for row in rows:
            run.event(**row)
    return run


def test_without_scores_it_says_to_score_first(view):
    app = opened(view)
    assert "Score the heads first" in app.info[0].value and not app.get("plotly_chart")
    assert any(
        "relevance" in link.proto.page
        for link in app.get("page_link")
        if "Score the heads" in link.proto.label
    )


def test_the_slider_moves_outlines_table_and_counters_at_once(view, loaded):
    keep(view)
    app = opened(view)
    assert outlined(app) == {(1, 2), (0, 0), (2, 3)} and heads_shown(app) == "3 of 12"
    shown(widget(app.number_input, "Heads (k)").set_value(1).run())
    assert outlined(app) == {(1, 2)} and heads_shown(app) == "1 of 12"
    model = loaded["qwen2"]
    moves = trainable.trainable_count(model, [(1, 2)])
    parts = strip(app)["parameters"]
    assert parts["base"] + parts["head"][1] + parts["group"][1] == moves
    captions = " ".join(caption.value for caption in app.caption)
    assert (
        f"{moves:,} of {model.n_params:,} parameters" in captions
        and "1 other head is affected" in captions
        and "L1.H3" in captions
    )
    table = app.data_editor[0].value
    assert list(table["in circuit"]) == [True] + [False] * 11 and list(table["rank"]) == list(
        range(1, 13)
    )
    assert table.iloc[0]["why"] == "rank 1 by score" and table.iloc[0]["score"] == pytest.approx(
        3.0
    )
    assert (
        table[(table["layer"] == 1) & (table["head"] == 3)]["why"].item() == "K/V shared with L1.H2"
    )
    shown(button(app, "Undo").click().run())
    assert heads_shown(app) == "3 of 12" and widget(app.number_input, "Heads (k)").value == 3
    assert button(app, "Undo").disabled


def test_every_rule_has_its_own_control_and_a_real_value(view):
    keep(view)
    app = opened(view)
    rule = widget(app.button_group, "Rule")
    assert len(rule.options) == len(circuit_rules.RULES) == 9
    controls = {}
    for name in circuit_rules.RULES:
        shown(widget(app.button_group, "Rule").set_value(name).run())
        entries = [
            one.label for one in app.number_input if one.label.startswith(("Heads", "Share"))
        ]
        controls[name] = entries, heads_shown(app)
    size = ["Heads (k), of 12"]
    assert controls == {
        "top": (size, "3 of 12"),
        "near_zero": (size, "3 of 12"),
        "least": (size, "3 of 12"),
        "random": (size, "3 of 12"),
        "threshold": ([], "4 of 12"),
        "fraction": (["Share of the 12 heads"], "1 of 12"),
        "advised": (size, "0 of 12"),
        "all": ([], "12 of 12"),
        "none": ([], "0 of 12"),
    }
    shown(widget(app.button_group, "Rule").set_value("random").run())
    before = outlined(app)
    shown(widget(app.number_input, "Seed").set_value(5).run())
    assert outlined(app) != before and len(outlined(app)) == 3


def test_the_rule_advised_says_where_to_ask_and_then_picks_by_advice(view):
    keep(view)
    app = opened(replace(view, rule="advised"))
    assert heads_shown(app) == "0 of 12" and any(
        "There is no advice yet" in info.value for info in app.info
    )
    order = [
        (2, 3),
        (1, 1),
        (0, 2),
        *sorted(
            {(layer, head) for layer in range(3) for head in range(4)} - {(2, 3), (1, 1), (0, 2)}
        ),
    ]
    rows = tuple(
        {"layer": layer, "head": head, "value": 1.0, "gradient": 1.0, "fisher": 1.0, "rank": i}
        for i, (layer, head) in enumerate(order, 1)
    )

    def asked(n: int):
        request = AdviseRequest(subject=view.subject, target=view.target, n=n, seed=view.tune_seed)
        with runs.record(request) as run:
            run.file("advice.csv").write_text(Ranking(rows).csv())

    asked(view.n - 1)
    shown(app.run())
    assert outlined(app) == set(order[:3]) and any(
        f"Fine-tune will use {view.n} rows" in warning.value for warning in app.warning
    )
    rows = rows[::-1]
    rows = tuple(row | {"rank": i} for i, row in enumerate(rows, 1))
    asked(view.n)
    shown(app.run())
    assert (
        outlined(app) == set(order[-3:])
        and not app.warning
        and any("the same rows that Fine-tune will use" in caption.value for caption in app.caption)
    )
    shown(widget(app.number_input, "Heads (k)").set_value(1).run())
    assert outlined(app) == {order[-1]}


def test_hand_edits_are_drawn_counted_and_cleared(view):
    keep(view)
    app = opened(replace(view, added=frozenset({(2, 0)}), removed=frozenset({(1, 2)}), head=(2, 0)))
    assert outlined(app) == {(0, 0), (2, 3), (2, 0)}
    assert {"added", "removed", "selected"} <= {trace.get("name") for trace in chart(app)["data"]}
    assert any("1 added and 1 removed" in caption.value for caption in app.caption)
    texts = next(trace for trace in chart(app)["data"] if trace.get("name") == "heads")["text"]
    assert (
        "added by hand" in texts[8]
        and "removed by hand" in texts[6]
        and "rank 2 by score" in texts[0]
    )
    shown(widget(app.number_input, "Heads (k)").set_value(2).run())
    assert outlined(app) == {(0, 0), (2, 0)}, "the slider leaves them alone"
    shown(button(app, "Clear hand edits").click().run())
    assert outlined(app) == {(1, 2), (0, 0)} and button(app, "Clear hand edits").disabled
    shown(button(app, "Undo").click().run())
    assert outlined(app) == {(0, 0), (2, 0)}


def test_checkboxes_left_from_before_a_change_elsewhere_are_forgotten(view):
    keep(view)
    app = opened(view)
    first = app.data_editor[0]
    app.session_state[first.key] = {
        "edited_rows": {0: {"in circuit": False}},
        "added_rows": [],
        "deleted_rows": [],
    }
    shown(app.run())
    assert app.data_editor[0].key != first.key and heads_shown(app) == "3 of 12"
    again = app.data_editor[0].key
    assert shown(app.run()).data_editor[0].key == again, "and the table stays where it is otherwise"


def test_a_k_of_a_larger_model_is_cut_to_this_one(view):
    keep(view)
    app = opened(replace(view, k=40))
    assert heads_shown(app) == "12 of 12" and widget(app.number_input, "Heads (k)").value == 12


def test_a_preview_is_enough_to_choose_from_but_not_to_measure(view, monkeypatch):
    keep(view, "preview")
    app = opened(view)
    assert "were removed from their run folder" in app.warning[0].value, (
        "a finished run without scores has none"
    )
    status = runs.Status(state="running", progress=0.4, stage="CD-T")
    monkeypatch.setattr(runs.Run, "status", lambda self: status)
    app = opened(view)
    assert "preview" in app.info[0].value and outlined(app) == {(1, 2), (0, 0), (2, 3)}
    assert chart(app)["layout"]["title"]["text"].startswith("Preview: an estimate of removing")
    assert not [one for one in app.button if one.label.startswith("Measure faithfulness")]


def test_a_saved_circuit_comes_back_and_another_models_is_refused(view):
    keep(view)
    app = opened(view)

    def load(circuit: Circuit, name: str):
        shown(
            app.file_uploader[0]
            .set_value((name, session_circuit.file_text(circuit).encode(), "application/json"))
            .run()
        )

    saved = select(made(), "least", k=2).edit({(0, 0)})
    load(saved, "mine.json")
    assert outlined(app) == saved.heads and "least relevant" in app.success[0].value
    assert widget(app.button_group, "Rule").value == "least"
    load(replace(saved, model=saved.model | {"n_layers": 24}), "other.json")
    assert (
        "belongs to another model" in app.error[0].value
        and "24" in app.error[0].value
        and not app.success
    )
    assert outlined(app) == saved.heads
    shown(app.file_uploader[0].set_value(("x.json", b"[1, 2]", "application/json")).run())
    assert "is not a circuit" in app.error[0].value
    shown(button(app, "Undo").click().run())
    assert outlined(app) == {(1, 2), (0, 0), (2, 3)}


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


@pytest.fixture
def session(monkeypatch):
    session_state = type(
        "Session", (dict,), {"__getattr__": dict.__getitem__, "__setattr__": dict.__setitem__}
    )()
    monkeypatch.setattr(st, "session_state", session_state)
    return session_state


@pytest.mark.parametrize(
    "rule, settings",
    [
        ("top", {"k": 5}),
        ("least", {"k": 1}),
        ("near_zero", {"k": 4}),
        ("random", {"k": 3, "seed": 9}),
        ("all", {}),
        ("none", {}),
        ("fraction", {"fraction": 0.5}),
        ("threshold", {"threshold": 1.5}),
        ("threshold", {"threshold": 3.0}),
    ],
)
def test_a_rule_that_gives_the_same_heads_is_taken_over(session, rule, settings):
    scores = made()
    loaded = select(scores, rule, **settings).edit({(2, 2)}, {(1, 2)})
    text = session_circuit.make_current(Circuit.parse(session_circuit.file_text(loaded)), scores)
    assert (
        binding.view().rule == rule
        and session_circuit.current(scores) == loaded
        and "with their rule" in text
    )
    binding.undo()
    assert binding.view().rule == "top" and not binding.view().added


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"name": "discover", "depth": 1, "fraction": 0.1},
        {"name": "top"},
        {"name": "top", "k": "six"},
        {"name": "top", "k": 999},
        {"name": "top", "k": 3},
        {"name": "fraction", "fraction": 0},
        {"name": "threshold", "threshold": None},
        {"name": "threshold", "threshold": 99.0},
        {"name": ["top"], "k": 1},
        {"name": "random", "k": 2, "seed": -1},
    ],
)
def test_any_other_circuit_comes_in_head_by_head(session, rule):
    scores, heads = made(), frozenset({(0, 1), (2, 2)})
    binding.put(removed=frozenset({(0, 1)}), k=1)
    text = session_circuit.make_current(Circuit(heads, rule=rule), scores)
    assert (
        session_circuit.current(scores).heads == binding.view().added == heads
        and binding.view().rule == "none"
        and "by hand" in text
    )
    binding.undo()
    assert (
        binding.view().removed == {(0, 1)}
        and binding.view().rule == "top"
        and binding.view().k == 1
    )


def test_table_rows_that_say_something_else_than_the_circuit():
    scores = made()
    heads, circuit = head_table.order(scores), select(scores, "top", k=2)
    assert heads[:3] == [(1, 2), (0, 0), (2, 3)] and sorted(heads) == [
        (layer, head) for layer in range(LAYERS) for head in range(HEADS)
    ]
    assert head_table.changed_heads({}, heads, circuit) == []
    assert head_table.changed_heads(
        {0: {"in circuit": False}, 1: {"in circuit": True}, 2: {"in circuit": True}, 3: {}},
        heads,
        circuit,
    ) == [(1, 2), (2, 3)]


def test_heads_without_a_score_stand_last_without_a_rank():
    scores = made()
    scores.per_example[:, 2] = math.nan
    table = head_table.table(scores, select(scores, "top", k=1), {})
    assert (
        list(table["layer"][-4:]) == [2, 2, 2, 2]
        and table["rank"].isna().sum() == 4
        and len(table) == 12
    )


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


def test_names_of_files_and_shares_in_words():
    assert [
        session_circuit.file_name(words)
        for words in ("my circuit", "../etc/passwd", "", "lingkaran é")
    ] == ["my-circuit.json", "etc-passwd.json", "circuit.json", "lingkaran-é.json"]
    assert [plots_faithfulness.share_text(value) for value in (-0.0, -0.001, -0.25, 0.5)] == [
        "0.00",
        "0.00",
        "−0.25",
        "0.50",
    ]
