"""The inspector: everything that is known of the selected head, at the right of the head map on
every page that has one.
"""

import streamlit as st

from ctsft.attribution.means import Means
from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.plots import score_charts
from ctsft.utils import format
from explorer.session import binding, score_runs
from explorer.session import circuit as session_circuit
from explorer.text import membership
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart as widgets_chart
from explorer.widgets import figure_cache


def draw(
    scores: Scores,
    means: Means | None,
    model: Model,
    circuit: Circuit | None = None,
    choosing: bool = False,
):
    """The head `state.view().head`; the highest-scoring one until another is chosen. `circuit`: the
    one in force, if it is known already;
    `choosing`: a click on an example chooses it.
    """
    ranking = scores.ranking()
    if not ranking:
        st.caption("No head has a score.")
        return
    if binding.view().head not in ranking:
        binding.put(head=ranking[0])
    circuit = session_circuit.circuit(scores) if circuit is None else circuit
    rank = {head: i + 1 for i, head in enumerate(ranking)}
    st.selectbox(
        "Head",
        ranking,
        format_func=lambda head: f"{format.head_name(head)} · rank {rank[head]} of {len(ranking)}",
        **binding.bind("head"),
        help="Click a head on the map, or choose it here (type L1.H4 to search).",
    )
    show(scores, means, model, circuit, binding.view().head, choosing)


def show(
    scores: Scores,
    means: Means | None,
    model: Model,
    circuit: Circuit,
    head: Head,
    choosing: bool = False,
):
    unit, value, error = (
        METHODS[scores.method].unit,
        scores.values[head].item(),
        scores.stderr[head].item(),
    )
    st.markdown(
        f"**{format.head_name(head)}**: {format.number(value)} ± {format.number(error)} logits, mean over"
        f" {len(scores.examples)} examples ± standard error.",
        help=TERMS["relevance"],
    )
    icon = "check_box" if head in circuit.heads else "check_box_outline_blank"
    st.markdown(f":material/{icon}: {literal(membership.sentence(scores, circuit, head))}")
    st.caption(sharing(model, head), help=TERMS["kv"])
    facts = figure_cache.mark(scores), head
    chart(
        figure_cache.once(
            "by-label",
            facts,
            lambda: score_charts.score_bars(scores, head),
        ),
        f"by-label-{head}",
    )
    if means is not None:
        chart(
            figure_cache.once(
                "means",
                (facts, means.values[head].sum().item()),
                lambda: sizes(means, scores, head),
            ),
            f"means-{head}",
        )
    known = {
        row["id"]: row["text"]
        for row in score_runs.pool_of(
            score_runs.score_run(("done",)) or score_runs.score_run(("running", "stopping"))
        )
    }
    texts = [known.get(one, f"example {one}") for one in scores.examples]
    fig = figure_cache.once(
        "strip",
        (facts, tuple(texts)),
        lambda: score_charts.example_strip(scores, head, texts).update_xaxes(title_text=unit),
    )
    (strip if choosing else chart)(fig, f"strip-{head}")


def sizes(means: Means, scores: Scores, head: Head):
    """How large the head's mean is, and the distance of each label's mean from it."""
    fig = score_charts.head_means(means, scores.by_label, head)
    return fig.update_xaxes(title_text="norm of z")


def strip(fig, key: str):
    """The examples' scores; a click on one chooses it, for whatever shows a single example."""

    def chosen():
        points = st.session_state[f"inspector-{key}"]["selection"]["points"]
        if points:
            at = points[-1]["customdata"]
            binding.put(example=int(next(iter(at.values())) if isinstance(at, dict) else at[0]))

    widgets_chart.show(fig, f"inspector-{key}", on_select=chosen, selection_mode="points")


def chart(fig, key: str):
    widgets_chart.show(fig, f"inspector-{key}")


def sharing(model: Model, head: Head) -> str:
    """Whom the head shares its keys and values with, in a sentence."""
    others = [
        format.head_name((head[0], other)) for other in model.kv_group(head[1]) if other != head[1]
    ]
    if not others:
        return "Its keys and values are its own."
    return f"Shares keys and values with {', '.join(others)}: tuning it moves theirs too."
