"""Saved circuits on Circuit: a list with restore, rename and remove, the circuits that other
sessions saved, and small maps side by side.
"""

import plotly.graph_objects as go
import streamlit as st

from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.plots import score_maps
from ctsft.plots.head_grid import Scale, head_grid, symmetric_limit
from ctsft.utils.errors import UserError
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import binding, saved_circuits
from explorer.session import circuit as session_circuit
from explorer.text import circuit_rules
from explorer.text.markdown import literal
from explorer.widgets import chart, messages

MOST_MAPS = 4  # side by side
LIST_MESSAGE = "saved_circuits_message"  # shown at the top of this section
FILE_MESSAGE = "circuit_file_message"  # shown where a circuit is saved


def draw(shown: PageCircuit):
    st.write(
        "Circuits that you saved by name, to restore or compare. *Save this circuit* stands above"
        " the map. Each is also a JSON file in your folder, which other sessions can open."
    )
    messages.show(LIST_MESSAGE)
    open_from_disk(shown.model)
    circuits = of_model(shown.model)
    if not circuits:
        st.info(
            "No circuit is saved yet. Open *Save or load the circuit* above the map, enter a name"
            " and press *Save this circuit*.",
            icon=":material/bookmark_add:",
        )
        return
    for name, circuit in circuits.items():
        list_row(name, circuit, shown.scores)
    side_by_side(circuits, shown.scores)


def of_model(model: Model) -> dict[str, Circuit]:
    """The saved circuits of this session that fit the model."""
    circuits = binding.view().saved_circuits
    return {name: circuit for name, circuit in circuits.items() if fits(circuit, model)}


def fits(circuit: Circuit, model: Model) -> bool:
    try:
        return bool(circuit.check(model))
    except UserError:
        return False


def save(circuit: Circuit):
    """A callback: saves the circuit under the name in the field."""
    view = binding.view()
    with messages.errors_as(FILE_MESSAGE):
        name = saved_circuits.save(view.file_name, circuit, view.saved_circuits)
        add(name, circuit)
        taken = "" if name == saved_circuits.valid_name(view.file_name) else " (the name was taken)"
        messages.put(
            FILE_MESSAGE,
            f"Saved {len(circuit)} heads as “{literal(name)}”{taken}. See *Saved circuits* below"
            " the map.",
        )


def add(name: str, circuit: Circuit):
    """Adds a circuit to the list and to the maps."""
    view = binding.view()
    binding.put(
        saved_circuits=view.saved_circuits | {name: circuit},
        side_by_side=[*view.side_by_side, name][-MOST_MAPS:],
    )


def open_from_disk(model: Model):
    """Opens a circuit that another session saved."""
    names = [name for name in saved_circuits.names() if name not in binding.view().saved_circuits]
    if not names:
        return

    def chosen():
        name = st.session_state.pop("kept_earlier")
        if name:
            with messages.errors_as(LIST_MESSAGE):
                add(name, saved_circuits.read(name).check(model))

    st.selectbox(
        "Saved in another session",
        names,
        index=None,
        placeholder="choose one to open",
        key="kept_earlier",
        on_change=chosen,
    )


def list_row(name: str, circuit: Circuit, scores: Scores):
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{literal(name)}** · {circuit_rules.summary(circuit)}", width=420)
        st.button(
            "Restore",
            key=f"restore-{name}",
            icon=":material/restore_page:",
            on_click=restore,
            args=(circuit, scores),
            help="Make this the current circuit. Undo restores the earlier one.",
        )
        with st.popover("Rename", icon=":material/edit:", key=f"rename-{name}"):
            st.text_input(
                "New name",
                name,
                key=f"name-{name}",
                max_chars=saved_circuits.LONGEST,
                on_change=rename,
                args=(name,),
            )
        if st.button("Remove", key=f"remove-{name}", icon=":material/delete:"):
            confirm_remove(name)


def restore(circuit: Circuit, scores: Scores):
    messages.put(LIST_MESSAGE, session_circuit.make_current(circuit, scores))


def rename(name: str):
    view = binding.view()
    circuits = view.saved_circuits
    with messages.errors_as(LIST_MESSAGE):
        new = saved_circuits.rename(
            name, st.session_state[f"name-{name}"], circuits[name], circuits
        )
        binding.put(
            saved_circuits={
                new if old == name else old: circuit for old, circuit in circuits.items()
            },
            side_by_side=[new if old == name else old for old in view.side_by_side],
        )


@st.dialog("Remove this circuit?")
def confirm_remove(name: str):
    file = "its file is deleted"
    if not saved_circuits.is_own(name):
        file = "its file stays, because another visitor of this server saved it"
    st.write(
        f"“{literal(name)}” is removed from this list and {file}. The current circuit does not"
        " change."
    )
    if st.button("Remove it", type="primary", on_click=remove, args=(name,)):
        st.rerun()


def remove(name: str):
    with messages.errors_as(LIST_MESSAGE):
        saved_circuits.remove(name)
        circuits = binding.view().saved_circuits
        binding.put(saved_circuits={other: circuits[other] for other in circuits if other != name})


def side_by_side(circuits: dict[str, Circuit], scores: Scores):
    """Up to four small maps with the circuits' outlines."""
    view = binding.view()
    chosen = [name for name in view.side_by_side if name in circuits]
    if chosen != view.side_by_side or not chosen:
        binding.put(side_by_side=chosen or list(circuits)[-MOST_MAPS:])
    if len(circuits) > 1:
        st.multiselect(
            "Side by side",
            list(circuits),
            max_selections=MOST_MAPS,
            **binding.bind("side_by_side"),
        )
    figures = maps({name: circuits[name] for name in view.side_by_side}, scores, view.flip)
    with st.container(horizontal=True):
        for i, (name, figure) in enumerate(figures.items()):
            chart.show(figure, f"saved-{i}", width="content", name=name)
    st.caption(
        "The colours are the scores on this page, on one scale. Outlines mark the heads of each"
        " circuit, crosses the heads that were removed by hand."
    )


def maps(circuits: dict[str, Circuit], scores: Scores, flip: bool) -> dict[str, go.Figure]:
    """Small head maps by circuit name; only the last has a colour bar."""
    values = scores.values.numpy()
    scale = Scale(METHODS[scores.method].unit, symmetric_limit(values))
    return {
        name: score_maps.shrink(
            head_grid(
                values, score_maps.circuit_marks(circuit), title=name, scale=scale, flip=flip
            ),
            values.shape,
            bar=i == len(circuits) - 1,
        )
        for i, (name, circuit) in enumerate(circuits.items())
    }
