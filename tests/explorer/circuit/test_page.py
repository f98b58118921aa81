"""Circuit: the rule, the clicks, the counters and the table, with scores made by hand."""

import math
from dataclasses import replace

import pytest

from ctsft import runs
from ctsft.circuit.advice_ranking import Ranking
from ctsft.circuit.selection import select
from ctsft.jobs.requests import AdviseRequest
from ctsft.tuning import trainable
from explorer.circuit import head_table
from explorer.text import circuit_rules
from support.circuit_page import HEADS, LAYERS, heads_shown, keep, made, opened, outlined, strip
from support.pages import button, chart, shown, widget


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
    shown(button(app, "Clear edits").click().run())
    assert outlined(app) == {(1, 2), (0, 0)} and button(app, "Clear edits").disabled
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
