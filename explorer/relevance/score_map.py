"""The head map of Relevance, with the files of its scores."""

import streamlit as st

from ctsft.circuit.mib_importances import FILE, importances_text
from explorer.relevance.page_scores import PageScores
from explorer.session import binding
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal_sentence
from explorer.widgets import head_clicks, head_keys, head_map, score_strip

KEY = "relevance_map"


def draw(shown: PageScores):
    scores, model, is_preview = shown.scores, shown.model, shown.is_preview
    head_map.draw(head_map.HeadMap(scores, shown.circuit, model, KEY, is_preview=is_preview))
    head_clicks.draw(KEY, model.heads, lambda head: binding.put(head=head))
    head_keys.draw(KEY, tuple(scores.values.shape))
    score_strip.draw(score_strip.Strip(scores, model, KEY, False, is_preview))
    for note in scores.notes:
        st.caption(literal_sentence(note))


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
        if not shown.model.architecture.reads_first:
            st.download_button(
                "Scores (MIB)",
                lambda: importances_text(shown.scores, shown.model),
                FILE,
                "application/json",
                on_click="ignore",
                icon=":material/download:",
                help=TERMS["importances"],
            )
