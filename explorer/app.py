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
    "setup": st.Page("screens/setup.py", title="Setup", icon=":material/tune:", default=True),
    "relevance": st.Page("screens/relevance.py", title="Relevance", icon=":material/grid_on:"),
    "circuit": st.Page("screens/circuit.py", title="Circuit", icon=":material/hub:"),
    "finetune": st.Page("screens/finetune.py", title="Fine-tune", icon=":material/model_training:"),
    "compare": st.Page("screens/compare.py", title="Compare", icon=":material/compare_arrows:"),
}


page = st.navigation(list(PAGES.values()), position="hidden")


share_link.read()


sidebar.draw(PAGES)


with st.sidebar:
    keep_zoom.keep()


with errors.guarded():
    page.run()
