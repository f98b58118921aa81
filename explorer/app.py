"""The circuit explorer: its pages, and the sidebar that leads through them."""

from pathlib import Path

import streamlit as st

from explorer import sidebar
from explorer.session import errors
from explorer.widgets import keep_zoom, share_link

SIDEBAR_WIDTH = 244  # pixels

PAGES = {  # name, also the address and the folder of the page -> its title and icon
    "setup": ("Setup", ":material/tune:"),
    "relevance": ("Relevance", ":material/grid_on:"),
    "circuit": ("Circuit", ":material/hub:"),
    "finetune": ("Fine-tune", ":material/model_training:"),
    "compare": ("Compare", ":material/compare_arrows:"),
}

st.set_page_config(
    page_title="Circuit explorer",
    page_icon="🧭",
    layout="wide",
    initial_sidebar_state=SIDEBAR_WIDTH,
)
st.html(Path(__file__).with_name("static") / "style.css")

pages = {
    name: st.Page(f"{name}/page.py", url_path=name, title=title, icon=icon, default=name == "setup")
    for name, (title, icon) in PAGES.items()
}
page = st.navigation(list(pages.values()), position="hidden")
share_link.read()
sidebar.draw(pages)
with st.sidebar:
    keep_zoom.keep()

with errors.guarded():
    page.run()
