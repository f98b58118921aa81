"""The inspector: all facts about the selected head, to the right of the head map on every page that
has one.
"""

import streamlit as st

from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.plots import score_charts
from ctsft.runs.notes import LONGEST_NOTE
from ctsft.utils import format
from explorer.session import binding, head_notes, own_runs, score_runs
from explorer.session import circuit as session_circuit
from explorer.text import membership
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart, figure_cache, head_clicks, head_keys, head_pins, messages

NOTE_MESSAGE = "head_note_message"


def draw(
    scores: Scores,
    means: Means | None,
    model: Model,
    circuit: Circuit | None = None,
    choosing: bool = False,
):
    """The head of the session's view, or the highest-scoring one until a head is selected.

    `circuit`: the current circuit, if the caller has it already; `choosing`: a click on an example
    selects that example.
    """
    if not select(scores):
        return
    if circuit is None:
        circuit = session_circuit.current(scores)
    head = binding.view().head
    with st.container(key=head_keys.CARD, gap="small"):
        facts(scores, model, circuit, head)
        actions(scores, head)
    label_charts(scores, means, head)
    example_chart(scores, head, choosing)


def select(scores: Scores) -> bool:
    """The choice of the head; False where no head has a score."""
    ranking = scores.ranking()
    if not ranking:
        st.caption("No head has a score.")
        return False
    if binding.view().head not in ranking:
        binding.put(head=ranking[0])
    rank = {head: i + 1 for i, head in enumerate(ranking)}
    st.selectbox(
        "Head",
        ranking,
        format_func=lambda head: f"{format.head_name(head)} · rank {rank[head]} of {len(ranking)}",
        **binding.bind("head"),
        help="Click a head on the map, or choose it here (type L1.H4 to search).",
    )
    return True


def facts(scores: Scores, model: Model, circuit: Circuit, head: Head):
    """The score, whether the head is in the circuit and why, and its key/value group."""
    value, error = scores.values[head].item(), scores.stderr[head].item()
    score = f"{format.number(value)} ± {format.number(error)} logits"
    st.markdown(
        f"**{format.head_name(head)}**: {score}",
        help=f"Mean over {len(scores.examples)} examples ± standard error. {TERMS['relevance']}",
    )
    icon = "check_box" if head in circuit.heads else "check_box_outline_blank"
    st.markdown(f":material/{icon}: {literal(membership.sentence(scores, circuit, head))}")
    st.caption(sharing(model, head), help=TERMS["kv"])


def actions(scores: Scores, head: Head):
    """Pin the head, and a note on it."""
    run = score_runs.score_run(("done",))
    noted = head_notes.of_heads(run, [head]).get(head, "")
    with st.container(horizontal=True):
        head_pins.button(head, tuple(scores.values.shape))
        if run:
            note(run, head, noted)
    if noted:
        st.caption(f":material/edit_note: {literal(noted)}")


def note(run: runs.Run, head: Head, noted: str):
    """A note on the head, which is stored beside the scores."""
    key = f"note-{head[0]}-{head[1]}"

    def save():
        with messages.errors_as(NOTE_MESSAGE):
            head_notes.save(run, head, st.session_state[key])

    with st.popover("Note", icon=":material/edit_note:", type="tertiary", key=f"open-{key}"):
        st.text_area(
            f"Note on {format.head_name(head)}",
            noted,
            key=key,
            max_chars=LONGEST_NOTE,
            on_change=save,
            disabled=not own_runs.is_own(run),
            help=own_runs.explained(
                run,
                "Stored beside the scores, shown for every scoring of this model and task, and"
                " saved with circuits and explorations.",
            ),
        )
        messages.show(NOTE_MESSAGE)


def label_charts(scores: Scores, means: Means | None, head: Head):
    """The score on each label's examples, and the size of the head's mean."""
    key = figure_cache.mark(scores), head
    fig = figure_cache.once("by-label", key, lambda: score_charts.score_bars(scores, head))
    chart.show(fig, f"inspector-by-label-{head}")
    if means is not None:
        fig = figure_cache.once(
            "means",
            (key, means.values[head].sum().item()),
            lambda: score_charts.head_means(means, scores.by_label, head).update_xaxes(
                title_text="norm of z"
            ),
        )
        chart.show(fig, f"inspector-means-{head}")


def example_chart(scores: Scores, head: Head, choosing: bool):
    """The head's score on each example; with `choosing`, a click selects an example."""
    texts = example_texts(scores)
    unit = METHODS[scores.method].unit
    fig = figure_cache.once(
        "strip",
        (figure_cache.mark(scores), head, tuple(texts)),
        lambda: score_charts.example_strip(scores, head, texts).update_xaxes(title_text=unit),
    )
    key = f"inspector-strip-{head}"
    chart.show(fig, key)
    if choosing:
        examples = {(i,) for i in range(len(texts))}
        head_clicks.draw(key, examples, lambda one: binding.put(example=one[0]))


def example_texts(scores: Scores) -> list[str]:
    run = score_runs.score_run(("done",)) or score_runs.score_run(("running", "stopping"))
    texts = {row["id"]: row["text"] for row in score_runs.pool_of(run)}
    return [texts.get(example, f"example {example}") for example in scores.examples]


def sharing(model: Model, head: Head) -> str:
    """The other heads of the head's key/value group, in a sentence."""
    layer, index = head
    others = [format.head_name((layer, other)) for other in model.kv_group(index) if other != index]
    if not others:
        return "No other head shares its keys and values."
    return f"Trained with {', '.join(others)}, which share its keys and values."
