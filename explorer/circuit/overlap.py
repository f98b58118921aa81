"""The overlap of circuits: chosen one by one or at one click, as a sentence, a matrix, a map and a
table.
"""

import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.plots import circuit_overlap, head_grid
from ctsft.plots.circuit_overlap import LETTERS, MAX_CIRCUITS
from explorer.circuit import comparable, saved
from explorer.session import binding
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart


def draw(model: Model, scores: Scores, run: runs.Run | None, circuit: Circuit):
    st.write(
        "Do the same heads come up for another language, another way of scoring, another label or"
        " another depth? Each is the circuit that the same rule picks there, at the same size. Take"
        " a group at one click, or choose up to six."
    )
    offered = comparable.offers(model, scores, run, circuit, saved.own(model))
    heads = {comparable.NOW: circuit.heads} | {
        name: own for group in offered.values() for name, own in group.items()
    }

    def take(group: str):
        binding.put(overlap_circuits=[comparable.NOW, *offered[group]][:MAX_CIRCUITS])

    with st.container(horizontal=True):
        for group, (title, remedy) in comparable.GROUPS.items():
            st.button(
                title,
                key=f"overlap-{group}",
                on_click=take,
                args=(group,),
                disabled=not offered[group],
                help=None if offered[group] else remedy,
            )
    if [name for name in binding.view().overlap_circuits if name not in heads]:
        binding.put(
            overlap_circuits=[name for name in binding.view().overlap_circuits if name in heads]
        )
    st.multiselect(
        "Circuits",
        list(heads),
        max_selections=MAX_CIRCUITS,
        placeholder="choose at least two",
        **binding.bind("overlap_circuits"),
    )
    chosen = {name: heads[name] for name in binding.view().overlap_circuits}
    if len(chosen) < 2:
        st.info(
            "Choose at least two circuits, or press one of the buttons above.",
            icon=":material/join_inner:",
        )
        return
    st.markdown(
        f"**{circuit_overlap.overlap_sentence(chosen, len(model.heads))}**", help=TERMS["jaccard"]
    )
    st.caption(
        " · ".join(
            f"**{letter}** {literal(name)}, {len(own)} heads"
            for letter, (name, own) in zip(LETTERS, chosen.items(), strict=False)
        )
    )
    with st.container(horizontal=True):
        fig = circuit_overlap.membership_map(
            chosen, tuple(scores.values.shape), binding.view().head, binding.view().flip
        )
        chart.show(fig, OVERLAP, width="content", on_select=pick, selection_mode="points")
        chart.show(
            circuit_overlap.jaccard_heatmap(chosen, len(model.heads)), "jaccard", width="content"
        )
    with st.expander("As a table"):
        st.dataframe(
            circuit_overlap.membership_table(chosen),
            hide_index=True,
            column_config={
                "in how many": st.column_config.NumberColumn(
                    help="How many of the circuits hold the head."
                )
            },
            alt="Every head that one of the circuits holds, and which of them hold it.",
        )


OVERLAP = "overlap_map"


def pick():
    """A click selects the head it hits."""
    for head in head_grid.toggle(st.session_state[OVERLAP]["selection"]["points"][-1:], ()):
        binding.put(head=head)
