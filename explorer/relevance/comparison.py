"""Relevance's two comparisons: one way of scoring against another, and one language or checkpoint
beside another.
"""

from dataclasses import asdict, replace

import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Task
from ctsft.jobs.requests import Scoring
from ctsft.plots import head_grid, score_agreement, score_maps
from ctsft.utils import format, statistics
from explorer.session import binding, inputs, score_runs, scoring_choices, start_runs
from explorer.session.scoring_choices import WAYS
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart, cost_estimate, run_progress

SCATTER = "methods_scatter"


def methods(scores: Scores, run: runs.Run):
    """A scatter of the scores on the page against another way of scoring the same examples."""
    now = binding.view()
    kept = Scoring(**run.request.params["scoring"])
    mine = "atp" if scores.method == "atp" else scoring_choices.way_of(kept)
    ways = [way for way in WAYS if way != mine]
    if now.compared_method not in ways:
        binding.put(compared_method="ablation" if "ablation" in ways else ways[0])
    done = {way: found(way) for way in ways}
    st.selectbox(
        "Against",
        ways,
        **binding.bind("compared_method"),
        help="Another way of scoring the same heads on the same examples.",
        format_func=lambda way: WAYS[way][0] + ("" if done[way] else " · not scored yet"),
    )
    way = binding.view().compared_method
    other = done[way]
    if other is None:
        active = scored(way, start_runs.ACTIVE)
        if active:
            run_progress.watch(active, keepable=False)
            return
        st.info(
            f"{WAYS[way][0]} has not scored these examples yet.", icon=":material/scatter_plot:"
        )
        cost_estimate.draw(scoring_choices.other_way(now.scoring, way), WAYS[way][0])
        if st.button(f"Score with {WAYS[way][0]}"):
            start_runs.start_score(replace(now, **WAYS[way][1]))
            st.rerun()
        return
    fig = score_agreement.scatter(scores, other, (WAYS[mine][0], WAYS[way][0]), now.head)
    chart.show(fig, SCATTER, on_select=pick, selection_mode="points")
    st.caption(
        "A point is a head; the ring is the selected one. Click a point to select its head.",
        help=TERMS["spearman"],
    )


def scored(way: str, states: tuple[str, ...]) -> runs.Run | None:
    """The newest scoring of the view's examples in another way."""
    now = binding.view()
    weights = inputs.load_model(now.model).fingerprint
    return score_runs.find_run(
        "score",
        states,
        (None, weights),
        subject=asdict(now.subject),
        scoring=asdict(scoring_choices.other_way(now.scoring, way)),
    )


def found(way: str) -> Scores | None:
    """Its scores; of attribution patching also the preview that another scoring of the same
    examples made.
    """
    done = score_runs.scores_of(scored(way, ("done",)))
    own = score_runs.score_run(("done",)) if done is None and way == "atp" else None
    return score_runs.scores_of(own, "preview") if own else done


def pick():
    points = st.session_state[SCATTER]["selection"]["points"]
    for head in head_grid.toggle(points[-1:], ()):
        binding.put(head=head)


def beside(scores: Scores, run: runs.Run, circuit: Circuit, task: Task):
    """Two maps on one scale, and their difference."""
    now = binding.view()
    others = {one.id: one for one in scoring_choices.comparable(run, scores)}
    start_other(task)
    if not others:
        st.info(
            "Nothing else is scored in the same way yet. Score another language above, or choose"
            " another checkpoint of this model on Setup and score it.",
            icon=":material/compare:",
        )
        return
    if now.compared_run not in others:
        binding.put(compared_run=next(iter(others)))
    st.selectbox(
        "Beside",
        list(others),
        format_func=lambda one: scoring_choices.named(others[one]),
        **binding.bind("compared_run"),
        help=(
            "Finished scorings with the same settings, of a model of the same shape: another"
            " language, or another checkpoint."
        ),
    )
    other = score_runs.scores_of(others[binding.view().compared_run])
    names = (scoring_choices.named(run), scoring_choices.named(others[binding.view().compared_run]))
    rho = statistics.spearman(scores.values.numpy(), other.values.numpy())
    figures = score_agreement.side_by_side(
        scores,
        other,
        scoring_choices.titles(run, others[binding.view().compared_run]),
        score_maps.marks(circuit, now.head),
        now.flip,
    )
    st.markdown(
        f"**{literal(names[0])}** beside **{literal(names[1])}**: Spearman ρ ="
        f" {format.number(rho)}.",
        help=TERMS["spearman"],
    )
    with st.container(horizontal=True):
        for i, fig in enumerate(figures):
            chart.show(fig, f"beside-{i}", width="content")
    st.caption(
        "The first two maps share one scale. In the third, purple heads count more in the second,"
        " green ones more in the first; the outline is the circuit of the first."
    )


def start_other(task: Task):
    """Offers to score another language with the same settings, unless that is done or under way;
    tells why it could not be done.
    """
    now = binding.view()
    languages = [
        language
        for language in dict.fromkeys((now.target, *task.languages))
        if language != now.source
    ]
    if not languages:
        return
    if now.compared_language not in languages:
        binding.put(compared_language=languages[0], compared_size=now.size)
    left, middle, right = st.columns([2, 1, 3], vertical_alignment="bottom")
    left.selectbox(
        "Another language",
        languages,
        **binding.bind("compared_language"),
        help="Scored with the same settings, on rows the model gets right.",
    )
    middle.number_input(
        "Its examples",
        len(task.labels),
        2000,
        **binding.bind("compared_size"),
        help="Fewer, where the model gets few rows right.",
    )
    now = binding.view()
    wanted = replace(now, source=now.compared_language, size=now.compared_size)
    last = score_runs.find_run(
        "score", (), subject=asdict(wanted.subject), scoring=asdict(wanted.scoring)
    )
    if last and last.status().active:
        run_progress.watch(last, keepable=False)
    elif last is None or last.status().state != "done":
        if right.button(f"Score {literal(wanted.source)} too"):
            start_runs.start_score(wanted)
            st.rerun()
        if last:
            run_progress.ended(last)
