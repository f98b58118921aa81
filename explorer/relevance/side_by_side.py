"""Side by side on Relevance: the scores of two languages or checkpoints as two maps on one scale,
and their difference.
"""

from dataclasses import replace

import streamlit as st

from ctsft.plots import score_agreement, score_maps
from ctsft.utils import format, statistics
from explorer.relevance.page_scores import PageScores
from explorer.session import binding, recording, requests, score_runs, scoring_choices, start_runs
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart, run_progress
from explorer.widgets.run_receipts import covered_by


def draw(shown: PageScores):
    view = binding.view()
    others = {run.id: run for run in scoring_choices.comparable(shown.run, shown.scores)}
    if not recording.current():
        score_other_language(shown.task.languages, len(shown.task.labels))
    if not others:
        st.info(
            "There are no other scores with the same settings yet. Score another language above, or"
            " choose another checkpoint of this model on Setup and score it.",
            icon=":material/compare:",
        )
        return
    if view.compared_run not in others:
        binding.put(compared_run=next(iter(others)))
    st.selectbox(
        "Compare with",
        list(others),
        format_func=lambda run_id: scoring_choices.description(others[run_id]),
        **binding.bind("compared_run"),
        help=(
            "Finished scorings with the same settings, of a model of the same shape: another"
            " language or another checkpoint."
        ),
    )
    with covered_by("beside", shown.run, others[view.compared_run]):
        maps(shown, others[view.compared_run])


def maps(shown: PageScores, other_run):
    view, scores = binding.view(), shown.scores
    other = score_runs.scores_of(other_run)
    first, second = scoring_choices.description(shown.run), scoring_choices.description(other_run)
    rho = statistics.spearman(scores.values.numpy(), other.values.numpy())
    st.markdown(
        f"**{literal(first)}** and **{literal(second)}**: Spearman ρ = {format.number(rho)}.",
        help=TERMS["spearman"],
    )
    figures = score_agreement.difference_maps(
        scores,
        other,
        scoring_choices.short_titles(shown.run, other_run),
        score_maps.circuit_marks(shown.circuit, view.head),
        view.flip,
    )
    with st.container(horizontal=True):
        for i, figure in enumerate(figures):
            chart.show(figure, f"beside-{i}", width="content")
    st.caption(
        "The first two maps share one scale. In the third, purple heads score higher in the second"
        " map and green heads in the first. The outline is the circuit of the first."
    )


def score_other_language(languages: tuple[str, ...], n_labels: int):
    """Scores another language with the same settings: its choice, its run or its button."""
    view = binding.view()
    others = [
        language for language in dict.fromkeys((view.target, *languages)) if language != view.source
    ]
    if not others:
        return
    if view.compared_language not in others:
        binding.put(compared_language=others[0], compared_size=view.size)
    left, middle, right = st.columns([3, 2, 3], vertical_alignment="bottom")
    left.selectbox(
        "Another language",
        others,
        **binding.bind("compared_language"),
        help="Scored with the same settings, on rows that the model answers correctly.",
    )
    middle.number_input(
        "Examples",
        n_labels,
        2000,
        **binding.bind("compared_size"),
        help="Choose fewer where the model answers few rows correctly.",
    )
    other_view = replace(view, source=view.compared_language, size=view.compared_size)
    run = score_runs.find_same(requests.score_request(other_view))
    if run and run.status().active:
        run_progress.watch(run, savable=False)
    elif run is None or run.status().state != "done":
        if right.button(f"Score {literal(other_view.source)}"):
            start_runs.start_score(other_view)
            st.rerun()
        if run:
            run_progress.ended(run)
