"""The session's circuit: what the rule selects, and what was added or removed by hand."""

from collections.abc import Mapping
from contextlib import suppress
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
from ctsft.utils.home import home, home_folder
from explorer.session import advice_runs, binding, inputs
from explorer.session.binding import put, remember, view
from explorer.session.inputs import load_model
from explorer.session.rule_order import SMALLEST_SHARE
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
    """Why a head is in the circuit, or what to know about one that is not."""
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
    return circuit.text()


def file_name(name: str) -> str:
    return slug(name, "circuit", also=".") + ".json"


def circuit_path(heads: frozenset[Head]) -> Path:
    """Where a circuit is written for a run; the same heads have the same file."""
    names = "-".join(f"{layer}.{head}" for layer, head in sorted(heads))
    return home() / "circuits" / f"{names[:120]}-{hash(heads) & 0xFFFFFFFF:08x}.json"


def write_circuit(circuit: Circuit) -> str:
    """Write the circuit where a run can read it; the path."""
    home_folder("circuits")
    path = circuit_path(circuit.heads)
    circuit.save(path)
    return str(path)


def make_current(saved: Circuit, scores: Scores) -> str:
    """Make a circuit from a file the current one; returns a message that says how: by its own rule
    where that gives the same heads on these scores, otherwise head by head. Undo restores the
    circuit before it.
    """
    binding.remember()
    message = ""
    # an error: the rule is not one of this page, or lacks a setting
    with suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        message = restore_rule(saved, scores)
    if message:
        return message
    binding.put(rule="none", added=saved.heads, removed=frozenset())
    return (
        f"Loaded {len(saved)} heads, as heads added by hand: the rule in the file does not give"
        " the same heads on these scores."
    )


def restore_rule(saved: Circuit, scores: Scores) -> str:
    """Set the view to the rule and the edits of a saved circuit; returns a message, or "" if they
    give other heads on these scores. Raises what `rule_fields` raises.
    """
    edits = {"added": saved.added, "removed": saved.removed}
    if saved.rule.get("name") == "discover" and saved.edges:
        unedited = replace(
            saved,
            heads=(saved.heads | saved.removed) - saved.added,
            added=frozenset(),
            removed=frozenset(),
        )
        binding.put(rule="discover", discovered=unedited, **edits)
        return f"Loaded {len(saved)} heads, as they were discovered."
    fields = rule_fields(saved.rule, scores)
    binding.put(**fields, **edits)
    if current(scores).heads != saved.heads:
        return ""
    return f"Loaded {len(saved)} heads, with their rule: {RULES[fields['rule']][0].lower()}."


def rule_fields(rule: Mapping, scores: Scores) -> dict:
    """The view's fields for the rule of a circuit file. Raises KeyError, TypeError, ValueError or
    ZeroDivisionError for a rule that the page does not have.
    """
    name = rule["name"]
    if name == "threshold":
        low, high = threshold(scores, 0.0), threshold(scores, 1.0)
        level = (rule["threshold"] - low) / (high - low)
        return {"rule": name, "threshold_level": within(level, 0.0, 1.0)}
    if name == "fraction":
        return {"rule": name, "fraction": within(float(rule["fraction"]), SMALLEST_SHARE, 1.0)}
    fields = {"rule": name}
    if name not in ("all", "none"):
        fields["k"] = within(int(rule["k"]), 0, scores.values.numel())
    if name == "random":
        fields["random_seed"] = within(int(rule["seed"]), 0, MOST_SEEDS)
    if name not in RULES:
        raise KeyError(name)
    return fields


def within(value, low, high):
    if not low <= value <= high:
        raise ValueError(f"{value} is outside {low} to {high}")
    return value


def select_first_head(scores: Scores, heads):
    """Select the head that ranks first, unless one of `heads` was chosen. A head that was selected
    here, not chosen, is replaced when other scores come.
    """
    first, default = scores.ranking()[0], st.session_state.get("default_head")
    if view().head not in heads or (view().head == default and default != first):
        put(head=first)
        st.session_state.default_head = first


def threshold(scores: Scores, level: float | None = None) -> float:
    """The score at a place of the slider's fixed 0..1 range; without `level`, at the view's."""
    finite = scores.values[scores.values == scores.values]
    low, high = finite.min().item(), finite.max().item()
    return low + (view().threshold_level if level is None else level) * (high - low)


def select_by_rule(scores: Scores) -> Circuit:
    """The circuit of the view's rule, without the hand edits."""
    now = view()
    if now.rule == "discover":
        return now.discovered or ctsft.select(scores, "none")
    size = min(now.k, scores.values.numel())
    if now.rule == "advised":
        run = advice_runs.best_run(now, load_model(now.model).fingerprint)
        advice = advice_runs.read(run)
        if advice is None:
            return ctsft.select(scores, "none")
        return ctsft.select(scores, "advised", k=size, advice=advice)
    if now.rule in ("all", "none"):
        return ctsft.select(scores, now.rule)
    if now.rule == "threshold":
        return ctsft.select(scores, now.rule, threshold=threshold(scores))
    if now.rule == "fraction":
        return ctsft.select(scores, now.rule, fraction=now.fraction)
    if now.rule == "random":
        return ctsft.select(scores, now.rule, k=now.k, seed=now.random_seed)
    return ctsft.select(scores, now.rule, k=size)


def current(scores: Scores) -> Circuit:
    """The current circuit: the rule's, with heads added and removed by hand."""
    return select_by_rule(scores).edit(view().added, view().removed)


def toggle(head: Head, scores: Scores):
    """Add a head by hand if it is not in the circuit, remove it if it is. The last click on a head
    counts, whatever the rule selects later.
    """
    remember()
    added, removed = view().added, view().removed
    by_rule = head in select_by_rule(scores)
    if head in current(scores):
        added = added - {head}
        if by_rule:
            removed = removed | {head}
    else:
        removed = removed - {head}
        if not by_rule:
            added = added | {head}
    put(added=added, removed=removed, head=head)
