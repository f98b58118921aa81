"""The strip of sorted scores under a head map, with the line that selects the first heads of the
rule's order, and the four facts about the circuit: heads, trainable parameters, cutoff,
faithfulness.

Everything that follows the line or a click is computed in the browser (`static/score_strip.js`);
the server stores the settings once the line is released. A change of the browser has a number, and
the server's answer carries the number of the last one that it has seen, so that an earlier answer
does not undo a later change.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from ctsft.attribution.scores import Head, Scores
from ctsft.model.model import Model
from ctsft.plots import faithfulness
from ctsft.plots.head_marks import SHAPES
from explorer.session import (
    advice_runs,
    binding,
    inputs,
    predictions,
    recording,
    rule_order,
    score_runs,
    start_runs,
)
from explorer.session import circuit as session_circuit
from explorer.session.parameter_parts import parameter_parts
from explorer.widgets import head_clicks
from explorer.widgets.chart import css_class

STATIC = Path(__file__).parents[1] / "static"
PARTS = ("html", "css")
KEY = "score_strip"
SEQ = "score_strip_seq"  # in the session: the number of the browser's last change
UNIT = "logits"
SIGNS = dict.fromkeys(rule_order.RANKED, "≥") | {"least": "≤"}
NOT_RANKED = "measured along the ranking by score only"


@dataclass(frozen=True)
class Strip:
    """`chart`: the key of the map's chart; `clickable`: a click on the map changes the circuit;
    `is_preview`: faithfulness cannot be measured yet.
    """

    scores: Scores
    model: Model
    chart: str
    clickable: bool
    is_preview: bool


def draw(strip: Strip):
    order = current_order(strip.scores)
    scored = score_runs.score_run(("done",))

    def changed():
        apply(st.session_state[KEY].change, strip.scores)

    def measure():
        start_runs.start_curve(binding.view(), scored, binding.view().n_random)

    parts = {part: (STATIC / f"score_strip.{part}").read_text("utf-8") for part in PARTS}
    parts["js"] = head_clicks.script("score_strip.js")
    component = st.components.v2.component(KEY, isolate_styles=False, **parts)
    component(
        key=KEY,
        data=contents(strip, order) | measured(strip, scored) | {"known": known(strip, scored)},
        on_change_change=changed,
        on_measure_change=measure,
    )


def current_order(scores: Scores) -> rule_order.Order:
    """The order in which the session's rule takes the heads of these scores."""
    view, advised = binding.view(), ()
    if view.rule == "advised":
        weights = inputs.load_model(view.model).fingerprint
        advice = advice_runs.read(advice_runs.best_run(view, weights))
        advised = advice.order if advice else ()
    return rule_order.order_of(scores, session_circuit.select_by_rule(scores), advised)


def contents(strip: Strip, order: rule_order.Order) -> dict:
    """What the browser needs to follow the line and the clicks."""
    view, scores = binding.view(), strip.scores
    return {
        "seq": st.session_state.get(SEQ, 0),
        "container": css_class(f"chart-{strip.chart}"),
        "rule": view.rule,
        "heads": [list(head) for head in order.heads],
        "values": [finite(scores.values[head].item()) for head in order.heads],
        "cut": order.cut,
        "least": order.least,
        "base": pairs(session_circuit.select_by_rule(scores).heads) if order.cut is None else [],
        "added": pairs(view.added),
        "removed": pairs(view.removed),
        "threshold": session_circuit.threshold(scores) if view.rule == "threshold" else None,
        "sign": SIGNS.get(view.rule, ""),
        "unit": UNIT,
        "n_heads": len(strip.model.heads),
        "parameters": parameter_parts(view.model, strip.model.fingerprint),
        "shapes": SHAPES,
        "clickable": strip.clickable,
    }


def measured(strip: Strip, scored) -> dict:
    """The stored faithfulness curve along the ranking by score; why there is none."""
    if strip.is_preview or scored is None:
        return {"curve": None, "measuring": False, "measurable": False, "why_not": "not measured"}
    if binding.view().rule not in rule_order.RANKED:
        return {"curve": None, "measuring": False, "measurable": False, "why_not": NOT_RANKED}
    done = score_runs.curve_of(scored, ("done",))
    active = score_runs.curve_of(scored, score_runs.ACTIVE)
    return {
        "curve": curve(done.events()) if done else None,
        "measuring": active is not None,
        "measurable": not recording.current(),
        "why_not": "not recorded" if recording.current() else "",
    }


def known(strip: Strip, scored) -> dict | None:
    """What is known of the very circuit that the server has: measured or predicted."""
    circuit = session_circuit.current(strip.scores)
    figure = None if strip.is_preview else predictions.known(circuit, strip.scores, scored)
    if figure is None:
        return None
    about = "" if figure.prediction.measured else "≈ "
    return {"heads": pairs(circuit.heads), "value": about + figure.value, "note": figure.note}


def curve(events) -> dict | None:
    """Sizes and faithfulness along the ranking, by the measure that is shown; None if it is not
    defined.
    """
    rows, measure = faithfulness.curve_rows(events), binding.view().measure
    ranked = {row["size"]: row[measure] for row in rows if row["kind"] == "ranked"}
    if not ranked or not faithfulness.is_defined(rows, measure):
        return None
    sizes = sorted(ranked)
    return {
        "measure": f"by {faithfulness.MEASURES[measure]}",
        "sizes": sizes,
        "values": [ranked[size] for size in sizes],
    }


def apply(change: Mapping | None, scores: Scores):
    """Store a change that the browser made: the place of the line, or the edits by hand."""
    if not change:
        return
    st.session_state[SEQ] = int(change["seq"])
    if "cut" in change:
        order, rule = current_order(scores), binding.view().rule
        if order.cut is None or change["rule"] != rule:
            return  # the rule was changed in the meantime
        binding.remember()
        binding.put(**rule_order.settings_for(rule, scores, order, int(change["cut"])))
        return
    binding.remember()
    edits = rule_order.edits_of(change, tuple(scores.values.shape))
    binding.put(**edits, head=tuple(map(int, change["head"])))


def pairs(heads: frozenset[Head]) -> list[list[int]]:
    return [list(head) for head in sorted(heads)]


def finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
