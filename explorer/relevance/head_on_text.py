"""The selected head on one example of the discovery set: relevance by token, attention pattern and
direct effect on the logits.
"""

from dataclasses import asdict

import streamlit as st

from ctsft import runs
from ctsft.attribution.head_view import HeadView
from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Scores
from ctsft.jobs.requests import Scoring, needed_request
from ctsft.model.model import Model
from ctsft.plots import head_on_text
from ctsft.utils import format
from ctsft.utils.right_to_left import isolate
from explorer.relevance import heads_by_position
from explorer.relevance.page_scores import PageScores
from explorer.session import binding, computed, errors, inputs, score_runs
from explorer.text.glossary import POSITIONS, TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart, recorded_notice, token_strip

STRONGEST = 5  # examples offered
LONGEST = 60  # characters of their texts
MOST_CHARACTERS = 2000  # of the user's text


def draw(shown: PageScores):
    view, pool = binding.view(), score_runs.pool_of(shown.run)
    if recorded_notice.draw():
        if pool:
            choose_example(pool)
        return
    if not pool or shown.means is None:
        st.info(
            "The discovery set was removed from the run folder of these scores. Score the heads"
            " again to inspect a head on an example.",
            icon=":material/info:",
        )
        return
    st.text_input(
        "A text of your own",
        **binding.bind("own_text"),
        max_chars=MOST_CHARACTERS,
        placeholder="Type a text, or choose an example below",
        help="Read with the task's prompt; the model's own answer counts as the correct label.",
    )
    if not view.own_text.strip():
        choose_example(pool)
        strongest_examples(shown.scores, pool)
    with errors.sentences(stop=False):
        if may_run(shown.model):
            head_view, label = compute(shown.scores, shown.run, shown.model)
            by_source(head_view, label)
            st.segmented_control(
                "Show",
                list(VIEWS),
                required=True,
                **binding.bind("head_view"),
                help=TERMS["readout"],
            )
            VIEWS[view.head_view](head_view, shown.scores, label)


def by_source(head_view: HeadView, label: str):
    """The text, each token coloured by what the head takes from it towards the label."""
    st.markdown(
        f"What the head takes from each token for **{literal(label)}** (purple) or against it"
        f" (green): {format.number(head_view.by_source.sum().item())} logits.",
        help=f"{TERMS['one head']} {TERMS['source token']}",
    )
    token_strip.draw(head_view, "token_strip")


def strongest_examples(scores: Scores, pool: list[dict]):
    """Buttons of the examples on which the selected head counts most."""
    values = scores.per_example[:, *binding.view().head]
    order = values.abs().nan_to_num().argsort(descending=True)[:STRONGEST].tolist()
    with st.popover("Strongest examples", type="tertiary"):
        for place in [i for i in order if i < len(pool)]:
            row = pool[place]
            text = row["text"] if len(row["text"]) <= LONGEST else row["text"][:LONGEST] + "…"
            st.button(
                f"{format.number(values[place].item())} · {literal(isolate(row['label']))} ·"
                f" {literal(isolate(text))}",
                key=f"strongest-{place}",
                type="tertiary",
                on_click=binding.put,
                kwargs={"example": place},
            )


def choose_example(pool: list[dict]):
    if binding.view().example >= len(pool):
        binding.put(example=0)
    st.selectbox(
        "Example of the discovery set",
        range(len(pool)),
        **binding.bind("example"),
        help=TERMS["discovery set"],
        format_func=lambda i: f"{isolate(pool[i]['label'])} · {isolate(pool[i]['text'])}",
    )


def may_run(model: Model) -> bool:
    """True for a small model; for a large one, after the button was pressed once."""
    name = binding.view().model
    allowed = st.session_state.setdefault("inspected_models", set())
    if model.n_params <= inputs.SMALL or name in allowed:
        return True
    if st.button(
        "Inspect heads",
        help=(
            f"Runs the model on {model.device} whenever another head or example is chosen, on that"
            " example only."
        ),
    ):
        allowed.add(name)
        return True
    return False


def compute(scores: Scores, run: runs.Run, model: Model) -> tuple[HeadView, str]:
    """The selected head on the selected example or the user's text, with the settings of the scores
    on the page; and the label that counts as correct.
    """
    view = binding.view()
    settings = asdict(needed_request(run).scoring) | {
        # a ranking of the whole pool says nothing about one text: removing the head does
        "method": scores.method if METHODS[scores.method].run else "ablation",
        "attention": scores.config.attention,
        "rules": scores.config.rules,
    }
    rows = (view.task, view.data_dir, view.source, view.split)
    scoring, written = Scoring(**settings), view.own_text.strip()
    if written:
        label = computed.answer_to(view.model, model.fingerprint, rows, written)
        text = computed.OwnText(run.id, written, label)
        return computed.head_view(
            view.model, model.fingerprint, rows, text, view.head, scoring
        ), label
    at = (run.id, view.example)
    label = score_runs.pool_of(run)[view.example]["label"]
    return computed.head_view(view.model, model.fingerprint, rows, at, view.head, scoring), label


def by_token(head_view: HeadView, scores: Scores, label: str):
    figure = head_on_text.token_bars(
        head_view.pieces,
        head_view.relevance.numpy(),
        head_view.attention[head_view.readout].numpy(),
        METHODS[head_view.method].unit,
        title="",
    )
    chart.show(figure, "head-tokens")
    total = format.number(head_view.relevance.sum().item())
    if binding.view().own_text.strip() or head_view.method != scores.method:
        st.caption(f"The parts add up to {total} logits.", help=TERMS["relevance"])
        return
    score = scores.per_example[binding.view().example, *head_view.head].item()
    st.caption(
        f"The parts add up to {total} logits. The head's score on this example,"
        f" split at all tokens at once, is {format.number(score)}. {POSITIONS[head_view.method]}",
        help=TERMS["relevance"],
    )


def attention(head_view: HeadView, scores: Scores, label: str):
    figure = head_on_text.attention_map(
        head_view.attention.numpy(), head_view.pieces, head_view.readout, title=""
    )
    chart.show(figure, "head-attention")
    st.caption(
        "Each row is a token; its colours show which tokens it attends to. The frame marks the"
        " readout, where the answer is read. Tokens stand in the order in which the model reads"
        " them.",
        help=TERMS["pattern"],
    )


def direct_effect(head_view: HeadView, scores: Scores, label: str):
    with st.container():
        st.markdown("**On the labels**", help=TERMS["direct effect"])
        chart.show(head_on_text.label_effects(head_view.labels, label), "head-labels")
        others = [effect for name, effect in head_view.labels.items() if name != label]
        lead = head_view.labels[label] - sum(others) / len(others)
        st.caption(
            f"The head directly gives the correct label, **{literal(label)}**, a lead of"
            f" {format.number(lead)} logits over the mean of the other labels. Its score also"
            " counts effects through later layers, and does not count what the head writes on"
            " every text."
        )
    with st.container():
        st.markdown("**On the vocabulary**", help=TERMS["direct effect"])
        if head_view.promoted is None:
            st.caption("This model answers with classes, so it has no vocabulary to show.")
            return
        figure = head_on_text.word_effects(head_view.promoted, head_view.suppressed)
        chart.show(figure, "head-vocabulary")
        st.caption(
            "Above the line: the tokens whose logits the head raises most at the readout. Below:"
            " those that it lowers most."
        )


def top_heads(head_view: HeadView, scores: Scores, label: str):
    if METHODS[scores.method].run is None:
        st.caption(
            f"{METHODS[scores.method].label} rank heads over the whole discovery set; score the"
            " heads with another method to see them by position."
        )
        return
    heads_by_position.draw(scores)


VIEWS = {
    "By token": by_token,
    "Attention pattern": attention,
    "Direct effect": direct_effect,
    "Top heads": top_heads,
}
