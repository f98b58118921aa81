"""The head map of Relevance, with the files of its scores."""

import streamlit as st

from ctsft.plots import score_maps
from explorer.relevance.page_scores import PageScores
from explorer.session import binding
from explorer.text.markdown import literal_sentence
from explorer.widgets import chart, head_selection

KEY = "relevance_map"


def draw(shown: PageScores):
    view, scores = binding.view(), shown.scores
    title = ""
    if shown.is_preview:
        title = f"Preview: attribution patching, {len(scores.examples)} examples"
    figure = score_maps.head_map(
        scores,
        shown.circuit,
        model=shown.model,
        selected=view.head,
        flip=view.flip,
        title=title,
    )
    chart.show(
        figure,
        KEY,
        width="content",
        on_select=head_selection.on_click(KEY),
        selection_mode="points",
    )
    st.toggle("Layer 0 at the bottom", **binding.bind("flip"))
    for note in scores.notes:
        st.caption(literal_sentence(note))
    downloads(shown)


def downloads(shown: PageScores):
    kind = "preview" if shown.is_preview else "scores"
    name = f"{'preview' if shown.is_preview else shown.scores.method}-{shown.run.id}"
    with st.container(horizontal=True):
        st.download_button(
            "Scores (CSV)",
            shown.scores.csv,
            f"{name}.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
        )
        st.download_button(
            "Scores (safetensors)",
            shown.run.file(f"{kind}.safetensors").read_bytes,
            f"{name}.safetensors",
            on_click="ignore",
            icon=":material/download:",
            help="Also holds the scores of each example. Load it with ctsft.Scores.load.",
        )
