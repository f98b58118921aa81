"""The session's circuit: what the rule selects, and what was added or removed by hand."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import streamlit as st

import ctsft
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.tuning import trainable
from ctsft.utils import format
from ctsft.utils.file_names import slug
from explorer.session import advice_runs, binding, inputs
from explorer.session.binding import put, remember, view
from explorer.session.inputs import load_model
from explorer.text.circuit_rules import MOST_SEEDS, RULES


def trained_with(model: Model, circuit: Circuit) -> dict[Head, str]:
    """Heads outside the circuit whose key and value rows are trained with it, and a text that names
    the heads of the circuit with which they share them.
    """
    reasons = {}
    for layer, head in sorted(trainable.heads_sharing_kv(model, circuit.heads)):
        sharing = [
            format.head_name((layer, other))
            for other in model.kv_group(head)
            if (layer, other) in circuit
        ]
        reasons[layer, head] = f"K/V shared with {', '.join(sharing)}"
    return reasons


def reasons(circuit: Circuit, outside: Mapping[Head, str]) -> dict[Head, str]:
    """Why a head is in, or what is to be said of one that is not."""
    return {**outside, **dict.fromkeys(circuit.removed, "removed by hand"), **circuit.why}


@st.cache_data(show_spinner=False, max_entries=512)
def trainable_counts(model: str, heads: tuple[Head, ...]) -> dict[str, int]:
    """The number of parameters that are trained with a circuit, the norms included, by both ways of
    counting key and value rows ("group", "expand"), and the "total" of the model.
    """
    loaded = inputs.load_model(model)
    return {kv: trainable.trainable_count(loaded, heads, kv) for kv in trainable.KV} | {
        "total": loaded.n_params
    }


def clear_edits():
    binding.remember()
    binding.put(added=frozenset(), removed=frozenset())


def file_text(circuit: Circuit) -> str:
    """What `Circuit.save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "circuit.json"
        circuit.save(path)
        return path.read_text(encoding="utf-8")


def file_name(words: str) -> str:
    return slug(words, "circuit", also=".") + ".json"


def adopt(loaded: Circuit, scores: Scores) -> str:
    """Make a circuit from a file the one in force, and say how: by its own rule where that gives
    the same heads on these scores, otherwise head by head. Undo brings the earlier one back.
    """
    binding.remember()
    try:
        if loaded.rule.get("name") == "discover" and loaded.edges:
            by_rule = replace(
                loaded,
                heads=(loaded.heads | loaded.removed) - loaded.added,
                added=frozenset(),
                removed=frozenset(),
            )
            binding.put(
                rule="discover", discovered=by_rule, added=loaded.added, removed=loaded.removed
            )
            return f"Loaded {len(loaded)} heads, as they were discovered."
        settings = rule_fields(loaded.rule, scores)
        binding.put(**settings, added=loaded.added, removed=loaded.removed)
        if circuit(scores).heads == loaded.heads:
            return (
                f"Loaded {len(loaded)} heads, with their rule:"
                f" {RULES[settings['rule']][0].lower()}."
            )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        # the rule is not one of this page, or lacks a setting
        pass
    binding.put(rule="none", added=loaded.heads, removed=frozenset())
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
        low, high = threshold(scores, 0.0), threshold(scores, 1.0)
        return {
            "rule": name,
            "threshold_level": within((rule["threshold"] - low) / (high - low), 0.0, 1.0),
        }
    if name == "fraction":
        return {"rule": name, "fraction": within(float(rule["fraction"]), 0.01, 1.0)}
    size = {} if name in ("all", "none") else {"k": within(int(rule["k"]), 0, heads)}
    seed = {"random_seed": within(int(rule["seed"]), 0, MOST_SEEDS)} if name == "random" else {}
    return {"rule": RULES[name] and name, **size, **seed}


def within(value, low, high):
    if not low <= value <= high:
        raise ValueError(f"{value} is outside {low} to {high}")
    return value


def look_at_first(of: Scores, heads):
    """Look at the head that ranks first, unless one of `heads` was chosen; a head that nobody chose
    gives way when other scores come.
    """
    first, own = of.ranking()[0], st.session_state.get("own_head")
    if view().head not in heads or (view().head == own and own != first):
        put(head=first)
        st.session_state.own_head = first


def threshold(of: Scores, level: float | None = None) -> float:
    """The score at a place of the slider's fixed 0..1 range."""
    finite = of.values[of.values == of.values]
    low, high = finite.min().item(), finite.max().item()
    return low + (view().threshold_level if level is None else level) * (high - low)


def rule_circuit(of: Scores) -> Circuit:
    """The circuit of the view's rule, without the hand edits."""
    now = view()
    if now.rule == "discover":
        return now.discovered or ctsft.select(of, "none")
    if now.rule == "advised":
        given = advice_runs.read(advice_runs.run_of(now, load_model(now.model).fingerprint))
        return (
            ctsft.select(of, "advised", k=min(now.k, of.values.numel()), advice=given)
            if given
            else ctsft.select(of, "none")
        )
    settings = {
        "threshold": {"threshold": threshold(of)},
        "fraction": {"fraction": now.fraction},
        "random": {"k": now.k, "seed": now.random_seed},
        "all": {},
        "none": {},
    }
    return ctsft.select(
        of, now.rule, **settings.get(now.rule, {"k": min(now.k, of.values.numel())})
    )


def circuit(of: Scores) -> Circuit:
    """The circuit in force: the rule's, with heads added and removed by hand."""
    return rule_circuit(of).edit(view().added, view().removed)


def click(head: Head, of: Scores):
    """Toggle one head by hand: out if it is in, in if it is out; the last click on a head counts,
    wherever the rule's slider goes.
    """
    remember()
    now, by_rule = view(), head in rule_circuit(of)
    if head in circuit(of):
        put(
            added=now.added - {head},
            removed=now.removed | ({head} if by_rule else set()),
            head=head,
        )
    else:
        put(
            removed=now.removed - {head},
            added=now.added | (set() if by_rule else {head}),
            head=head,
        )
