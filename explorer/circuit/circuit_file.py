"""Save the current circuit, download it as a file, or load one from a file."""

from dataclasses import replace

import streamlit as st

from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from explorer.circuit import saved
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import binding, head_notes, saved_circuits
from explorer.session import circuit as session_circuit
from explorer.widgets import messages


def draw(shown: PageCircuit):
    with st.expander("Save or load the circuit"):
        left, right = st.columns(2)
        with left:
            notes = head_notes.of_heads(shown.run, shown.circuit.heads)
            save(replace(shown.circuit, notes=notes))
        right.file_uploader(
            "Load a circuit (JSON)",
            type="json",
            key="circuit_file",
            on_change=load,
            args=(shown.model, shown.scores),
        )
        messages.show(saved.FILE_MESSAGE)


def save(circuit: Circuit):
    st.text_input("Name", max_chars=saved_circuits.LONGEST, **binding.bind("file_name"))
    buttons = st.container(horizontal=True)
    buttons.button(
        "Save this circuit",
        icon=":material/bookmark_add:",
        on_click=saved.save,
        args=(circuit,),
        help="Saves it in this explorer, under this name. See *Saved circuits* below the map.",
    )
    buttons.download_button(
        "Download (JSON)",
        lambda: session_circuit.file_text(circuit),
        session_circuit.file_name(binding.view().file_name),
        "application/json",
        icon=":material/download:",
        on_click="ignore",
        help=(
            "The heads, why each is in the circuit, and the rule. Also for `python -m ctsft"
            " finetune --circuit FILE`."
        ),
    )


def load(model: Model, scores: Scores):
    """A callback: opens the uploaded file as the current circuit."""
    file = st.session_state.circuit_file
    if file is None:
        return
    with messages.errors_as(saved.FILE_MESSAGE):
        text = file.getvalue().decode(errors="replace")
        circuit = Circuit.parse(text, file.name).check(model)
        messages.put(saved.FILE_MESSAGE, session_circuit.make_current(circuit, scores))
