"""The address of a page holds the session's choices: reloading, another tab, and a copied link open
the same view.

The browser writes it (`static/page_address.js`) without a new entry in its history. Going back or
forward inside a session therefore changes the page and none of the choices.
"""

from collections import deque
from collections.abc import Mapping
from copy import copy
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from explorer.session import binding, errors, link_format
from explorer.session.arrival import EARLY
from explorer.text import circuit_rules
from explorer.text.markdown import literal

STATIC = Path(__file__).parents[1] / "static"
PARTS = ("html", "css", "js")
REMEMBERED = 2000  # addresses that a session has written
PANELS = {
    "section": ("Head", "On a text", "All heads", "Advice", "Compare"),
    "panel": ("By label", "Means", "Distribution", "One example", "Roles"),
    "circuit_panel": ("Is it enough?", "Saved circuits", "Overlap", "Discovery"),
}
RULES = (*circuit_rules.RULES, *circuit_rules.DISCOVERED)


def read():
    """Apply the address that this session was opened with; show what could not be used until the
    notice is closed. An address that the session itself has written is not applied again.
    """
    query = {k: v for k, v in st.query_params.to_dict().items() if isinstance(v, str)}
    if query and text_of(query) not in written():
        from explorer.session import open_link  # torch: not for the first screen

        written().append(text_of(query))
        changed = changed_since()
        problems = open_link.apply(query, PANELS | {"rule": RULES})
        binding.put(**changed)
        st.session_state.link_notice = (
            f"The link was opened without {'; '.join(problems)}." if problems else ""
        )
    if st.session_state.get("link_notice"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(literal(st.session_state.link_notice), icon=":material/link_off:")
            st.button("Close", on_click=st.session_state.pop, args=("link_notice",))


def read_choices(part: type, known: Mapping | None = None):
    """Apply the choices of one page (a part of `View`) that an address names, once, while the rest
    of it waits for torch; `read` applies all of it later, and says what could not be used. What was
    changed on the page until then stays. known: further fields, as the address sets them.
    """
    query = {k: v for k, v in st.query_params.to_dict().items() if isinstance(v, str)}
    if not query or text_of(query) in written() or EARLY in st.session_state:
        return
    chosen, _ = link_format.read(query, {})
    names, known = {field.name for field in fields(part)}, known or {}
    binding.put(**known, **{name: value for name, value in chosen.items() if name in names})
    view = binding.view()
    st.session_state[EARLY] = {name: copy(getattr(view, name)) for name in {*names, *known}}


def changed_since() -> dict:
    """The fields of `read_choices` that were changed on the page since then."""
    view, early = binding.view(), st.session_state.pop(EARLY, {})
    return {name: getattr(view, name) for name, was in early.items() if getattr(view, name) != was}


def write(page: str, others: list[str]):
    """Put the session's choices into the address of `page`. Call once in each run, after the page.

    `page`, `others`: names in the address of this page and of the other ones.
    """
    query = link_format.write(binding.view())
    if text_of(query) not in written():
        written().append(text_of(query))
    component = st.components.v2.component(
        "page_address", html="<span></span>", js=(STATIC / "page_address.js").read_text("utf-8")
    )
    data = {"page": page, "others": others, "query": urlencode(query)}
    component(data=data, key="page_address")


def written() -> deque:
    """The queries that this session has written or applied, the newest last."""
    return st.session_state.setdefault("written_addresses", deque(maxlen=REMEMBERED))


def text_of(query: dict[str, str]) -> str:
    return urlencode(sorted(query.items()))


@errors.fragment
def copy_button():
    """Copies the address with one click."""
    parts = {kind: (STATIC / f"copy_link.{kind}").read_text("utf-8") for kind in PARTS}
    component = st.components.v2.component("copy_link", **parts)
    if component(key="copy_link", on_copied_change=lambda: None).copied:
        st.toast(
            "Link copied. It opens this page with the same model, task, settings and circuit, in"
            " any session of this explorer.",
            icon=":material/link:",
        )
