"""The circuit explorer: the list of pages, and the sidebar that is the path through them."""

from pathlib import Path

import streamlit as st

from explorer import sidebar
from explorer.session import errors
from explorer.widgets import keep_zoom, share_link

# its width in pixels
st.set_page_config(
    page_title="Circuit explorer", page_icon="🧭", layout="wide", initial_sidebar_state=244
)

st.html(Path(__file__).with_name("style.css"))

PAGES = {
    "setup": st.Page(
        "setup/page.py", url_path="setup", title="Setup", icon=":material/tune:", default=True
    ),
    "relevance": st.Page(
        "relevance/page.py", url_path="relevance", title="Relevance", icon=":material/grid_on:"
    ),
    "circuit": st.Page(
        "circuit/page.py", url_path="circuit", title="Circuit", icon=":material/hub:"
    ),
    "finetune": st.Page(
        "finetune/page.py", url_path="finetune", title="Fine-tune", icon=":material/model_training:"
    ),
    "compare": st.Page(
        "compare/page.py", url_path="compare", title="Compare", icon=":material/compare_arrows:"
    ),
}

page = st.navigation(list(PAGES.values()), position="hidden")
share_link.read()
sidebar.draw(PAGES)


with st.sidebar:
    keep_zoom.keep()


with errors.guarded():
    page.run()
