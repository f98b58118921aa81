"""A link that opens the same model, task, scores, circuit and page in another session: the button
that shows it, and the notice when a link was opened.
"""

from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from explorer.session import binding, link_format, open_link
from explorer.text import circuit_rules
from explorer.text.markdown import literal

PANELS = {
    "panel": ("By label", "Means", "Distribution", "One example"),
    "circuit_panel": ("Is it enough?", "Saved circuits", "Overlap", "Discovery"),
}
RULES = (*circuit_rules.RULES, *circuit_rules.DISCOVERED)


def header(title: str, explanation: str = ""):
    """A page's header, with the link to the session's current view to its right."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(title, help=explanation or None)
        with st.container(width="content"):
            copy()


def copy():
    with st.popover("Copy link", icon=":material/link:"):
        st.code(address(), language=None, wrap_lines=True)
        st.caption(
            "Opens this page with the same model, task, scoring settings, circuit and head, in any"
            " session of this explorer. Models and folders that were never opened on this machine"
            " are left out."
        )


def address() -> str:
    """The address of this page, with the session's view as its query."""
    query = urlencode(link_format.write(binding.view()))
    page = urlsplit(st.context.url or "")
    return urlunsplit((page.scheme, page.netloc, page.path, query, ""))


def read():
    """Apply the link that this session was opened with, once; show what could not be used until the
    notice is closed.
    """
    parameters = st.query_params.to_dict()
    query = {name: text for name, text in parameters.items() if isinstance(text, str)}
    if query:
        st.query_params.clear()
        problems = open_link.apply(query, PANELS | {"rule": RULES})
        st.session_state.link_notice = (
            f"The link was opened without {'; '.join(problems)}." if problems else ""
        )
    if st.session_state.get("link_notice"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(literal(st.session_state.link_notice), icon=":material/link_off:")
            st.button("Close", on_click=st.session_state.pop, args=("link_notice",))
