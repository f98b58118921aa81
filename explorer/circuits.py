"""What the Circuit page shows and keeps: a circuit as rows, as counts, as a file, and a
faithfulness run as a chart.
"""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import streamlit as st

from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.tuning import trainable
from ctsft.utils import format
from explorer import state
from explorer.text.circuit_words import MOST_SEEDS, RULES

COLUMNS = ("in circuit", "layer", "head", "score", "s.e.", "rank", "why")


def touched(model: Model, circuit: Circuit) -> dict[Head, str]:
    """Heads outside the circuit whose key/value rows move with it, and the heads inside that they
    share them with.
    """
    found = {}
    for layer, head in sorted(trainable.touched(model, circuit.heads)):
        sharing = [
            format.name((layer, other))
            for other in model.kv_group(head)
            if (layer, other) in circuit
        ]
        found[layer, head] = f"K/V shared with {', '.join(sharing)}"
    return found


def reasons(circuit: Circuit, outside: Mapping[Head, str]) -> dict[Head, str]:
    """Why a head is in, or what is to be said of one that is not."""
    return {**outside, **dict.fromkeys(circuit.removed, "removed by hand"), **circuit.why}


@st.cache_data(show_spinner=False, max_entries=512)
def would_move(model: str, heads: tuple[Head, ...]) -> dict[str, int]:
    """Numbers of the model that a circuit would move, its norms included: by both ways of counting,
    and of how many.
    """
    loaded = state.load_model(model)
    return {kv: trainable.trainable(loaded, heads, kv) for kv in trainable.KV} | {
        "total": loaded.n_params
    }


def clear_edits():
    state.remember()
    state.put(added=frozenset(), removed=frozenset())


def order(scores: Scores) -> list[Head]:
    """Every head, by falling score; those without a score last."""
    ranked, (layers, heads) = scores.ranking(), scores.values.shape
    scored = set(ranked)
    return ranked + [
        at
        for at in ((layer, head) for layer in range(layers) for head in range(heads))
        if at not in scored
    ]


def table(scores: Scores, circuit: Circuit, why: Mapping[Head, str]) -> pd.DataFrame:
    """A row a head, in `order`."""
    rank = {head: i + 1 for i, head in enumerate(scores.ranking())}
    values, errors = scores.values.tolist(), scores.stderr.tolist()
    rows = [
        (
            at in circuit,
            *at,
            values[at[0]][at[1]],
            errors[at[0]][at[1]],
            rank.get(at),
            why.get(at, ""),
        )
        for at in order(scores)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def edited(edits: Mapping[int, Mapping], heads: list[Head], circuit: Circuit) -> list[Head]:
    """The heads whose checkbox, as it was left in the table, says something else than the circuit
    does.
    """
    return [
        heads[row]
        for row, cells in edits.items()
        if cells.get("in circuit", heads[row] in circuit) != (heads[row] in circuit)
    ]


def file_text(circuit: Circuit) -> str:
    """What `Circuit.save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "circuit.json"
        circuit.save(path)
        return path.read_text(encoding="utf-8")


def file_name(words: str) -> str:
    return (re.sub(r"[^\w.-]+", "-", words).strip("-.") or "circuit") + ".json"


def adopt(loaded: Circuit, scores: Scores) -> str:
    """Make a circuit from a file the one in force, and say how: by its own rule where that gives
    the same heads on these scores, otherwise head by head. Undo brings the earlier one back.
    """
    state.remember()
    try:
        if loaded.rule.get("name") == "discover" and loaded.edges:
            by_rule = replace(
                loaded,
                heads=(loaded.heads | loaded.removed) - loaded.added,
                added=frozenset(),
                removed=frozenset(),
            )
            state.put(rule="discover", found=by_rule, added=loaded.added, removed=loaded.removed)
            return f"Loaded {len(loaded)} heads, as they were discovered."
        settings = rule_fields(loaded.rule, scores)
        state.put(**settings, added=loaded.added, removed=loaded.removed)
        if state.circuit(scores).heads == loaded.heads:
            return (
                f"Loaded {len(loaded)} heads, with their rule:"
                f" {RULES[settings['rule']][0].lower()}."
            )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        # the rule is not one of this page, or lacks a setting
        pass
    state.put(rule="none", added=loaded.heads, removed=frozenset())
    return (
        f"Loaded {len(loaded)} heads, as heads added by hand: the rule in the file does not give"
        " the same heads on these scores."
    )


def rule_fields(rule: Mapping, scores: Scores) -> dict:
    """The view's fields that say the same as a circuit file's rule. KeyError, TypeError or
    ValueError when none do.
    """
    name, heads = rule["name"], scores.values.numel()
    if name == "threshold":
        low, high = state.threshold(scores, 0.0), state.threshold(scores, 1.0)
        return {"rule": name, "level": within((rule["threshold"] - low) / (high - low), 0.0, 1.0)}
    if name == "fraction":
        return {"rule": name, "fraction": within(float(rule["fraction"]), 0.01, 1.0)}
    size = {} if name in ("all", "none") else {"k": within(int(rule["k"]), 0, heads)}
    seed = {"seed": within(int(rule["seed"]), 0, MOST_SEEDS)} if name == "random" else {}
    return {"rule": RULES[name] and name, **size, **seed}


def within(value, low, high):
    if not low <= value <= high:
        raise ValueError(f"{value} is outside {low} to {high}")
    return value
