"""A circuit's file on the Circuit page: saved, opened, taken over with its rule or head by head."""

from dataclasses import replace

import pytest
import streamlit as st

from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.plots import faithfulness as plots_faithfulness
from explorer.session import binding
from explorer.session import circuit as session_circuit
from support.circuit_page import keep, made, opened, outlined
from support.pages import button, shown, widget


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
