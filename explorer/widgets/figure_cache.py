"""Figures that are drawn once: Streamlit runs a page's script at every interaction, and most of the
page's figures stay the same.
"""

from collections.abc import Callable, Hashable

import plotly.graph_objects as go
import streamlit as st

from ctsft.attribution.scores import Scores


def once(key: str, inputs: Hashable, make: Callable[[], go.Figure]) -> go.Figure:
    """The figure that `make()` draws from `inputs`; drawn again in this session only when they
    change. Do not change the returned figure.
    """
    cache = st.session_state.setdefault("figure_cache", {})
    if key not in cache or cache[key][0] != inputs:
        cache[key] = inputs, make()
    return cache[key][1]


def mark(scores: Scores) -> int:
    """A hash of the scores and their examples."""
    return hash(
        (
            scores.method,
            tuple(scores.examples),
            tuple(scores.labels),
            scores.per_example.numpy().tobytes(),
        )
    )
