"""How a session began: at which page, and whether a link's settings were opened in it."""

import streamlit as st

EARLY = "early_choices"  # in the session: fields that an address set while torch was not imported


def note(page: str):
    """Remember the page of the session's first run, and whether its address held a query; the
    session writes into the address itself later.
    """
    if "first_page" not in st.session_state:
        st.session_state.first_page = page
        st.session_state.opened_link = bool(st.query_params.to_dict())


def chose(page: str) -> bool:
    """Whether the user came to this page by a click inside the explorer, in a session without a
    link: another site can open an address, but it cannot click there.
    """
    first = st.session_state.get("first_page", page)
    return first != page and not st.session_state.get("opened_link")
