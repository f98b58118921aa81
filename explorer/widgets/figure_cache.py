"""Figures that are drawn once: a page's script runs from top to bottom at every move of a slider,
and most of its figures stay as they are.
"""

from collections.abc import Callable, Hashable

import plotly.graph_objects as go
import streamlit as st

from ctsft.attribution.scores import Scores


def once(key: str, facts: Hashable, make: Callable[[], go.Figure]) -> go.Figure:
    """What `make()` draws of these facts; drawn anew in this session only when they change. The
    figure is not to be changed afterwards.
    """
    kept = st.session_state.setdefault("drawn", {})
    if key not in kept or kept[key][0] != facts:
        kept[key] = facts, make()
    return kept[key][1]


def mark(scores: Scores) -> int:
    """Another number for other scores."""
    return hash(
        (
            scores.method,
            tuple(scores.examples),
            tuple(scores.labels),
            scores.per_example.numpy().tobytes(),
        )
    )
