"""Circuits kept by name: a list with restore, rename and remove, the ones of earlier sessions, and
small maps side by side.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.plots import score_maps
from ctsft.plots.head_grid import Scale, head_grid, symmetric_limit
from ctsft.utils.errors import UserError
from explorer.session import binding, saved_circuits
from explorer.session import circuit as session_circuit
from explorer.text import circuit_words
from explorer.text.markdown import literal
from explorer.widgets import chart

SIDE_BY_SIDE = 4


def own(model: Model) -> dict[str, Circuit]:
    """This session's kept circuits that fit the model."""
    return {
        name: circuit
        for name, circuit in binding.view().saved_circuits.items()
        if fits(circuit, model)
    }


def fits(circuit: Circuit, model: Model) -> bool:
    try:
        return bool(circuit.check(model))
    except UserError:
        return False


def keep(circuit: Circuit):
    """A callback: keep the circuit under the name in the field."""
    now = binding.view()
    try:
        name = saved_circuits.keep(now.file_name, circuit, now.saved_circuits)
        take_in(name, circuit)
        other = "" if name == saved_circuits.proper(now.file_name) else " (the name was taken)"
        st.session_state.loaded = (
            (
                f"Kept {len(circuit)} heads as “{literal(name)}”{other}; see Kept circuits below"
                " the map."
            ),
            True,
        )
    except UserError as error:
        st.session_state.loaded = str(error), False


def take_in(name: str, circuit: Circuit):
    """Onto the list, and the last of those side by side."""
    now = binding.view()
    binding.put(
        saved_circuits={**now.saved_circuits, name: circuit},
        side_by_side=[*now.side_by_side, name][-SIDE_BY_SIDE:],
    )


def draw(model: Model, scores: Scores):
    st.write(
        "Circuits you kept by name, to come back to or to compare. *Keep* stands above the map;"
        " each is also a JSON file in your folder, which the next session can open again."
    )
    if "kept_told" in st.session_state:
        words, good = st.session_state.pop("kept_told")
        (st.success if good else st.error)(words)
    earlier(model)
    kept = own(model)
    if not kept:
        st.info(
            "No circuit is kept yet. Open *Keep, save or load* above the map, give a name and press"
            " *Keep this circuit*.",
            icon=":material/bookmark_add:",
        )
        return
    for name, circuit in kept.items():
        row(name, circuit, scores)
    beside(kept, scores)


def row(name: str, circuit: Circuit, scores: Scores):
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{literal(name)}** · {circuit_words.described(circuit)}", width=420)
        st.button(
            "Restore",
            key=f"restore-{name}",
            icon=":material/restore_page:",
            on_click=restore,
            args=(circuit, scores),
            help="Put this circuit in force. Undo brings the earlier one back.",
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
            confirm(name)


def restore(circuit: Circuit, scores: Scores):
    st.session_state.kept_told = session_circuit.adopt(circuit, scores), True


def rename(name: str):
    now = binding.view()
    with told():
        new = saved_circuits.rename(
            name, st.session_state[f"name-{name}"], now.saved_circuits[name], now.saved_circuits
        )
        binding.put(
            saved_circuits={
                new if one == name else one: circuit for one, circuit in now.saved_circuits.items()
            },
            side_by_side=[new if one == name else one for one in now.side_by_side],
        )


@st.dialog("Remove this circuit?")
def confirm(name: str):
    st.write(
        f"“{literal(name)}” is taken off this list, and its file is deleted. The circuit in force"
        " stays as it is."
    )
    if st.button("Remove it", type="primary", on_click=remove, args=(name,)):
        st.rerun()


def remove(name: str):
    with told():
        saved_circuits.remove(name)
        binding.put(
            saved_circuits={
                one: circuit
                for one, circuit in binding.view().saved_circuits.items()
                if one != name
            }
        )


@contextmanager
def told() -> Iterator[None]:
    """An error inside is told at the top of the section."""
    try:
        yield
    except UserError as error:
        st.session_state.kept_told = str(error), False


def earlier(model: Model):
    """Circuits on disk that this session has not opened."""
    names = [name for name in saved_circuits.names() if name not in binding.view().saved_circuits]

    def chosen():
        name = st.session_state.pop("kept_earlier")
        if name:
            with told():
                take_in(name, saved_circuits.read(name).check(model))

    if names:
        st.selectbox(
            "Kept in another session",
            names,
            index=None,
            placeholder="open one again",
            key="kept_earlier",
            on_change=chosen,
        )


def beside(kept: dict[str, Circuit], scores: Scores):
    """Up to four small maps: the colours are the scores in force, on one scale, the outlines each
    circuit.
    """
    now = binding.view()
    if [name for name in now.side_by_side if name not in kept] or not now.side_by_side:
        binding.put(
            side_by_side=[name for name in now.side_by_side if name in kept]
            or list(kept)[-SIDE_BY_SIDE:]
        )
    if len(kept) > 1:
        st.multiselect(
            "Side by side", list(kept), max_selections=SIDE_BY_SIDE, **binding.bind("side_by_side")
        )
    with st.container(horizontal=True):
        for i, (name, fig) in enumerate(
            maps(
                {name: kept[name] for name in binding.view().side_by_side}, scores, now.flip
            ).items()
        ):
            chart.show(fig, f"kept-{i}", width="content", name=name)
    st.caption(
        "The colours are the scores on this page, on one scale; the outlines are each circuit's"
        " heads, crosses those removed by hand."
    )


def maps(kept: dict[str, Circuit], scores: Scores, flip: bool) -> dict:
    values = scores.values.numpy()
    scale = Scale(METHODS[scores.method].unit, symmetric_limit(values))
    return {
        name: score_maps.shrink(
            head_grid(
                values, score_maps.circuit_marks(circuit), title=name, scale=scale, flip=flip
            ),
            values.shape,
            bar=i == len(kept) - 1,
        )
        for i, (name, circuit) in enumerate(kept.items())
    }
