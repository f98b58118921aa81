"""The section of all heads on Relevance: the scores of all heads by label, their means, their
distribution, the scores on one example, and the role of each head.
"""

import plotly.graph_objects as go
import streamlit as st

from ctsft.attribution.methods import METHODS
from ctsft.plots import score_charts, score_maps
from explorer.relevance import head_on_text, head_roles
from explorer.relevance.page_scores import PageScores
from explorer.session import binding, score_runs
from explorer.session import circuit as session_circuit
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart
from explorer.widgets.page_address import PANELS


def draw(shown: PageScores):
    st.segmented_control(
        "All heads",
        PANELS["panel"],
        required=True,
        wrap=True,
        **binding.bind("panel"),
        help=TERMS["panels"],
    )
    DRAW[binding.view().panel](shown)


def by_label(shown: PageScores):
    view = binding.view()
    st.caption(
        "Mean score on the examples of each label, on one scale. A head may matter for one label"
        " only."
    )
    marks = score_maps.circuit_marks(shown.circuit, view.head)
    maps(score_maps.label_score_maps(shown.scores, marks, view.flip), "label")


def means(shown: PageScores):
    if shown.means is None:
        return
    view, labels = binding.view(), shown.scores.by_label
    counts = ", ".join(f"{literal(label)} {shown.means.counts.get(label, 0)}" for label in labels)
    st.caption(
        "First the label-balanced mean output of each head, which carries no information about the"
        " label; then how far the mean of each label departs from it. Examples:"
        f" {counts}.",
        help=TERMS["mean"],
    )
    marks = score_maps.circuit_marks(shown.circuit, view.head)
    size = score_maps.means_map(shown.means, shown.circuit, selected=view.head, flip=view.flip)
    maps([size], "mean")
    maps(score_maps.label_distance_maps(shown.means, labels, marks, view.flip), "departure")


def distribution(shown: PageScores):
    scores = shown.scores
    cutoff = score_maps.score_cutoff(scores, shown.circuit, session_circuit.threshold(scores))
    figure = score_charts.score_histogram(
        scores.values.numpy(), cutoff, shown.circuit.heads, unit=METHODS[scores.method].unit
    )
    chart.show(figure, "histogram", name="distribution-of-scores")
    st.caption("The line is the cutoff of the rule on the Circuit page.")


def one_example(shown: PageScores):
    view, scores = binding.view(), shown.scores
    pool = score_runs.pool_of(shown.run)
    head_on_text.choose_example(pool)
    text = pool[view.example]["text"] if view.example < len(pool) else ""
    st.caption(
        f"Scores on this example: “{literal(text)}”,"
        f" **{literal(scores.labels[view.example])}**. The colours are those of the large map."
        " Scores on one example vary more than their mean, so more cells reach the ends of the"
        " scale."
    )
    figure = score_maps.example_map(scores, view.example, shown.circuit, view.head, view.flip)
    maps([figure], "example")


def roles(shown: PageScores):
    st.caption("Learned on the discovery set of these scores, whatever their method.")
    head_roles.draw()


def maps(figures: list[go.Figure], key: str):
    with st.container(horizontal=True):
        for i, figure in enumerate(figures):
            chart.show(figure, f"{key}-{i}", width="content")


DRAW = dict(zip(PANELS["panel"], (by_label, means, distribution, one_example, roles), strict=True))
