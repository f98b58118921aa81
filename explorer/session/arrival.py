"""How a session began: at which page, and whether a link's settings were opened in it."""

import streamlit as st


def note(page: str):
    """Remember the page of the session's first run, and that a link was opened; before the link's
    query is read and removed.
    """
    st.session_state.setdefault("first_page", page)
    if st.query_params.to_dict():
        st.session_state.opened_link = True


def chose(page: str) -> bool:
    """Whether the user came to this page by a click inside the explorer, in a session without a
    link: another site can open an address, but it cannot click there.
    """
    first = st.session_state.get("first_page", page)
    return first != page and not st.session_state.get("opened_link")
