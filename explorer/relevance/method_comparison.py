"""Two methods on Relevance: the scores on the page against another method's scores of the same
examples.
"""

from dataclasses import replace

import streamlit as st

from ctsft import runs
from ctsft.attribution.methods import VARIANTS
from ctsft.attribution.scores import Scores
from ctsft.jobs.requests import needed_request
from ctsft.plots import score_agreement
from explorer.session import binding, inputs, requests, score_runs, scoring_choices, start_runs
from explorer.session.scoring_choices import WAYS, scoring_fields
from explorer.text.glossary import TERMS
from explorer.widgets import chart, cost_estimate, head_selection, run_progress

KEY = "methods_scatter"


def draw(scores: Scores, run: runs.Run):
    view = binding.view()
    method = method_of(scores, run)
    others = {way: scores_by(way) for way in WAYS if way != method}
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
    chart.show(figure, KEY, on_select=head_selection.on_click(KEY), selection_mode="points")
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
    active = scoring_run(way, start_runs.ACTIVE)
    if active:
        run_progress.watch(active, savable=False)
        return
    st.info(f"{name} has not scored these examples yet.", icon=":material/scatter_plot:")
    cost_estimate.draw(scoring_choices.other_way(view.scoring, way), name)
    if st.button(f"Score with {name}"):
        start_runs.start_score(replace(view, **scoring_fields(way)))
        st.rerun()


def scoring_run(way: str, states: tuple[str, ...]) -> runs.Run | None:
    """The newest run that scores the current examples with a method."""
    view = binding.view()
    scoring = scoring_choices.other_way(view.scoring, way)
    request = requests.score_request(view).model_copy(update={"scoring": scoring})
    return score_runs.find_same(request, states, (None, inputs.load_model(view.model).fingerprint))


def scores_by(way: str) -> Scores | None:
    """The scores of a method. For attribution patching, the preview of the current scoring run
    serves too.
    """
    scores = score_runs.scores_of(scoring_run(way, ("done",)))
    if scores is None and way == "atp":
        return score_runs.scores_of(score_runs.score_run(("done",)), "preview")
    return scores
