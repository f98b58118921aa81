"""Which page a presentation covers: the Back of a browser leads to a page, so it ends one."""

import streamlit as st

from explorer.session import binding

COVERED = "covered_page"


def is_presenting(page: str) -> bool:
    """Whether a presentation covers this page. `page`: its name in the address. One that began on
    another page ends; one that an address names begins.
    """
    picture = binding.view().present
    began_on, shown = st.session_state.get(COVERED, (page, ""))
    if picture and picture == shown and began_on != page:
        binding.put(present="")
        picture = ""
    st.session_state[COVERED] = (page, picture)
    return picture != ""
