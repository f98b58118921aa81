"""The heads scored again on the tuned model: whether the same heads carry the task."""

import streamlit as st

from ctsft import runs
from ctsft.attribution.methods import METHODS
from ctsft.jobs import rescoring
from ctsft.jobs.requests import RescoreRequest
from ctsft.plots import change_map, score_agreement
from ctsft.plots.head_marks import Marks
from ctsft.runs import results
from explorer.session import binding, own_runs
from explorer.text.glossary import TERMS
from explorer.widgets import chart, run_progress
from explorer.widgets.run_receipts import covered_by


def draw(run: runs.Run, trained: frozenset):
    st.write(
        "The heads are scored again on the tuned model, on the same examples of the source"
        " language. If their order is unchanged, the same heads carry the task as before;"
        " otherwise other heads do now."
    )
    again = newest_rescoring(run)
    if again and again.status().active:
        run_progress.watch(again, savable=False)
        return
    if again:
        run_progress.ended(again)
    pair = read_pair(again.id, again.status().finished) if again else None
    if pair is not None:
        with covered_by("rescored", again, run):
            score_changes(run, results.result(again), pair, trained)
    elif st.button(
        "Score the tuned model",
        icon=":material/grid_on:",
        help="A separate run, which takes about twice as long as scoring did.",
    ):
        start(run, trained)
        st.rerun()


def score_changes(run: runs.Run, result: dict, pair: tuple, trained: frozenset):
    """`pair`: the scores before and after tuning."""
    st.markdown(change_map.rescoring_sentences(result), help=TERMS["spearman"])
    figures = score_agreement.difference_maps(
        *pair, ("before tuning", "after tuning"), Marks(trained), binding.view().flip
    )
    with st.container(horizontal=True):
        for i, fig in enumerate(figures):
            chart.show(fig, f"rescored-{i}", width="content", name=f"rescored-{i}-{run.id}")
    st.caption(
        f"{METHODS[result['method']].label}, {result['examples']} examples; the tuned model still"
        f" answers {result['right']:.0%} of them correctly. The first two maps share one scale. In"
        " the third, purple heads count more after tuning, green heads less. Outlined: the heads"
        " that were chosen for training."
    )


def newest_rescoring(run: runs.Run) -> runs.Run | None:
    """The newest rescoring of the run's current result; none from before it was resumed."""
    newest = rescoring.newest(run.id)
    if newest and newest.request.created >= (run.status().finished or 0):
        return newest
    return None


@st.cache_data(show_spinner=False, max_entries=16)
def read_pair(run_id: str, finished: float | None):
    """The scores before and after tuning; `finished` is part of the cache's key."""
    return rescoring.scores_of(runs.get(run_id))


def start(run: runs.Run, trained: frozenset) -> runs.Run:
    """Score the tuned model with the current settings of the Relevance page. As many top heads are
    compared as were trained.
    """
    view = binding.view()
    k = len(trained) or view.k or 1
    return own_runs.start(RescoreRequest(tuned=run.id, scoring=view.scoring, k=k))
