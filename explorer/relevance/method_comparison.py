"""Two methods on Relevance: the scores on the page against another method's scores of the same
examples.
"""

from dataclasses import replace
from itertools import product

import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.attribution.variants import VARIANTS
from ctsft.jobs.requests import needed_request
from ctsft.plots import score_agreement
from explorer.session import binding, other_scores, scoring_choices, start_runs
from explorer.session.scoring_choices import WAYS, scoring_fields
from explorer.text.glossary import TERMS
from explorer.widgets import chart, cost_estimate, head_clicks, recorded_notice, run_progress
from explorer.widgets.run_receipts import covered_by

KEY = "methods_scatter"


def draw(scores: Scores, run: runs.Run):
    view = binding.view()
    method = method_of(scores, run)
    others = {way: other_scores.scores_by(way) for way in WAYS if way != method}
    if view.compared_method not in others:
        binding.put(compared_method="ablation" if "ablation" in others else next(iter(others)))
    st.selectbox(
        "Compare with",
        list(others),
        **binding.bind("compared_method"),
        help="Another method that scores the same heads on the same examples.",
        format_func=lambda way: VARIANTS[way].label + ("" if others[way] else " · not scored yet"),
    )
    other = view.compared_method
    if others[other] is None:
        offer_scoring(other)
        return
    names = (VARIANTS[method].label, VARIANTS[other].label)
    figure = score_agreement.agreement(scores, others[other], names, view.head)
    with covered_by("methods", run, other_scores.scoring_run(other, ("done",))):
        chart.show(figure, KEY)
    heads = set(product(*map(range, scores.values.shape)))
    head_clicks.draw(KEY, heads, lambda head: binding.put(head=head))
    st.caption(
        "Each point is a head; the ring marks the selected one. Click a point to select its head.",
        help=TERMS["spearman"],
    )


def method_of(scores: Scores, run: runs.Run) -> str:
    """One of `WAYS`. A preview is by attribution patching, whatever method the run uses."""
    if scores.method == "atp":
        return "atp"
    return scoring_choices.way_of(needed_request(run).scoring)


def offer_scoring(way: str):
    """The run that scores the examples with another method, or the button that starts it."""
    view, name = binding.view(), VARIANTS[way].label
    active = other_scores.scoring_run(way, start_runs.ACTIVE)
    if active:
        run_progress.watch(active, savable=False)
        return
    st.info(f"{name} has not scored these examples yet.", icon=":material/scatter_plot:")
    if recorded_notice.draw():
        return
    cost_estimate.draw(scoring_choices.other_way(view.scoring, way), name)
    if st.button(f"Score with {name}"):
        start_runs.start_score(replace(view, **scoring_fields(way)))
        st.rerun()
