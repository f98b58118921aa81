"""In the place of a control that starts a computation, for a model whose weights are not here."""

import streamlit as st

from explorer.session import recording
from explorer.text.markdown import literal


def draw() -> bool:
    """Whether nothing can be computed; says so."""
    reason = recording.why_not()
    if reason:
        st.info(literal(reason), icon=":material/inventory_2:")
    return bool(reason)
