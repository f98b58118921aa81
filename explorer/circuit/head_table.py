"""All heads as a table, with a checkbox that adds a head to the circuit or removes it."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import circuit as session_circuit
from explorer.text.glossary import TERMS

COLUMNS = {
    "in circuit": st.column_config.CheckboxColumn(
        "in", width=60, help="In the circuit. A tick works like a click on the map."
    ),
    "layer": st.column_config.NumberColumn(
        width=50, help="Layer of the head. Layer 0 reads the text first."
    ),
    "head": st.column_config.NumberColumn(width=50, help="Number of the head in its layer."),
    "score": st.column_config.NumberColumn(
        format="%.3f",
        width=65,
        help="In logits, mean over the examples. " + TERMS["relevance"],
    ),
    "s.e.": st.column_config.NumberColumn(
        "±", format="%.3f", width=60, help="Standard error of the mean."
    ),
    "rank": st.column_config.NumberColumn(width=50, help="Rank by score; 1 is the highest."),
    "why": st.column_config.TextColumn(
        width=225,
        help=(
            "Why the head is in the circuit. K/V shared: not in the circuit, but its key/value rows"
            " are trained with a head that is."
        ),
    ),
}


def draw(shown: PageCircuit):
    scores, circuit = shown.scores, shown.circuit
    heads = order(scores)
    name = f"heads-{hash(tuple(heads)):x}"
    number = st.session_state.setdefault("table_number", 0)
    edits = st.session_state.get(f"{name}-{number}", {}).get("edited_rows", {})
    if changed_heads(edits, heads, circuit):
        # the circuit was changed elsewhere: a new table forgets the old checkboxes
        number = st.session_state.table_number = number + 1
    key = f"{name}-{number}"

    def checked():
        for head in changed_heads(st.session_state[key]["edited_rows"], heads, circuit):
            session_circuit.toggle(head, scores)

    st.data_editor(
        table(scores, circuit, session_circuit.reasons(circuit, shown.affected)),
        key=key,
        on_change=checked,
        hide_index=True,
        height=480,
        disabled=[column for column in COLUMNS if column != "in circuit"],
        alt=(
            "All heads from the highest to the lowest score, with a checkbox that adds a head to"
            " the circuit or removes it."
        ),
        column_config=COLUMNS,
    )


def order(scores: Scores) -> list[Head]:
    """All heads from the highest to the lowest score; those without a score last."""
    ranking = scores.ranking()
    layers, heads = scores.values.shape
    scored = set(ranking)
    every_head = [(layer, head) for layer in range(layers) for head in range(heads)]
    return ranking + [head for head in every_head if head not in scored]


def table(scores: Scores, circuit: Circuit, why: Mapping[Head, str]) -> pd.DataFrame:
    """A row for each head, in `order`."""
    ranks = {head: rank for rank, head in enumerate(scores.ranking(), 1)}
    values, errors = scores.values.tolist(), scores.stderr.tolist()
    rows = [
        {
            "in circuit": (layer, head) in circuit,
            "layer": layer,
            "head": head,
            "score": values[layer][head],
            "s.e.": errors[layer][head],
            "rank": ranks.get((layer, head)),
            "why": why.get((layer, head), ""),
        }
        for layer, head in order(scores)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def changed_heads(edits: Mapping[int, Mapping], heads: list[Head], circuit: Circuit) -> list[Head]:
    """The heads whose checkbox differs from the circuit. `edits`: {row: {column: value}}, as
    `st.data_editor` stores them.
    """
    return [
        heads[row]
        for row, cells in edits.items()
        if cells.get("in circuit", heads[row] in circuit) != (heads[row] in circuit)
    ]
