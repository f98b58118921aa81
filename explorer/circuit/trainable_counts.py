"""How many heads the circuit has, and how many parameters it trains."""

import streamlit as st

from ctsft.utils import format
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import binding
from explorer.session import circuit as session_circuit
from explorer.text import circuit_rules
from explorer.text.glossary import TERMS

MOST_NAMES = 24  # of affected heads


def draw(shown: PageCircuit):
    circuit = shown.circuit
    counts = session_circuit.trainable_counts(binding.view().model, tuple(sorted(circuit.heads)))
    expanded = counts["expand"] / counts["total"]
    st.caption(
        f"{counts['group']:,} of {counts['total']:,} parameters are trainable, norms included. "
        + circuit_rules.hand_edits(circuit),
        help=(
            "Fine-tuning trains the query, key, value and output weights of the circuit's heads,"
            " and all norms. All others stay bit-identical. Counted as in the paper, with separate"
            f" key/value rows for every head (CT-SFT, arXiv 2601.08146): {expanded:.2%}."
        ),
    )
    if shown.affected:
        affected_heads(shown)


def affected_heads(shown: PageCircuit):
    names = [format.head_name(head) for head in shown.affected]
    subject = "1 other head is" if len(names) == 1 else f"{len(names)} other heads are"
    more = " ..." if len(names) > MOST_NAMES else ""
    st.caption(
        f"{subject} affected: {', '.join(names[:MOST_NAMES])}{more}.",
        help=(
            f"Groups of {shown.model.n_heads // shown.model.n_kv_heads} heads share key/value rows."
            f" {TERMS['kv']}"
        ),
    )
