"""The overlap of circuits on Circuit: chosen one by one or as a group, and shown as a sentence, a
matrix, a map and a table.
"""

import streamlit as st

from ctsft.plots import circuit_overlap
from ctsft.plots.circuit_overlap import LETTERS, MAX_CIRCUITS
from explorer.circuit import overlap_choices
from explorer.circuit.overlap_choices import CURRENT, GROUPS, Circuits
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import binding
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart, head_clicks
from explorer.widgets.run_receipts import covered_by

MAP = "overlap_map"
COLUMNS = {
    "in how many": st.column_config.NumberColumn(help="How many of the circuits have the head.")
}


def draw(shown: PageCircuit):
    st.write(
        "Are the same heads selected for another language, method, label or depth? Each of these"
        " circuits is selected by the same rule at the same size. Press a button to take a whole"
        f" group, or choose up to {MAX_CIRCUITS} circuits."
    )
    groups = overlap_choices.choices(shown)
    group_buttons(groups)
    circuits = {CURRENT: shown.circuit.heads}
    for group in groups.values():
        circuits |= group
    chosen = choose(circuits)
    if len(chosen) < 2:
        st.info(
            "Choose at least two circuits, or press one of the buttons above.",
            icon=":material/join_inner:",
        )
        return
    with covered_by("overlap", shown.run):
        show(chosen, shown)


def group_buttons(groups: dict[str, Circuits]):
    def choose_group(group: str):
        binding.put(overlap_circuits=[CURRENT, *groups[group]][:MAX_CIRCUITS])

    with st.container(horizontal=True):
        for group, (title, remedy) in GROUPS.items():
            st.button(
                title,
                key=f"overlap-{group}",
                on_click=choose_group,
                args=(group,),
                disabled=not groups[group],
                help=None if groups[group] else remedy,
            )


def choose(circuits: Circuits) -> Circuits:
    """The chosen ones of `circuits`; names that are gone are dropped."""
    view = binding.view()
    names = [name for name in view.overlap_circuits if name in circuits]
    if names != view.overlap_circuits:
        binding.put(overlap_circuits=names)
    st.multiselect(
        "Circuits",
        list(circuits),
        max_selections=MAX_CIRCUITS,
        placeholder="choose at least two",
        **binding.bind("overlap_circuits"),
    )
    return {name: circuits[name] for name in view.overlap_circuits}


def show(circuits: Circuits, shown: PageCircuit):
    view, n_heads = binding.view(), len(shown.model.heads)
    st.markdown(f"**{circuit_overlap.overlap_sentence(circuits, n_heads)}**", help=TERMS["jaccard"])
    st.caption(
        " · ".join(
            f"**{letter}** {literal(name)}, {len(heads)} heads"
            for letter, (name, heads) in zip(LETTERS, circuits.items(), strict=False)
        )
    )
    with st.container(horizontal=True):
        figure = circuit_overlap.membership_map(
            circuits, tuple(shown.scores.values.shape), view.head, view.flip
        )
        chart.show(figure, MAP, width="content")
        chart.show(circuit_overlap.jaccard_heatmap(circuits, n_heads), "jaccard", width="content")
    head_clicks.draw(MAP, shown.model.heads, lambda head: binding.put(head=head))
    with st.expander("Table of the heads"):
        st.dataframe(
            circuit_overlap.membership_table(circuits),
            hide_index=True,
            column_config=COLUMNS,
            alt="Every head that is in one of the circuits, and which circuits have it.",
        )
