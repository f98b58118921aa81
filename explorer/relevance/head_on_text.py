"""The selected head on one example of the discovery set: attention pattern, relevance by token,
direct logit effect.
"""

import streamlit as st

from ctsft import runs
from ctsft.attribution.head_view import HeadView
from ctsft.attribution.scores import Scores
from ctsft.jobs.requests import Scoring
from ctsft.model.model import Model
from ctsft.plots import head_on_text, score_maps
from ctsft.utils import format
from ctsft.utils.right_to_left import isolate
from explorer.session import binding, computed, errors, inputs, score_runs
from explorer.text.glossary import POSITIONS, TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart as widgets_chart

VIEWS = ("By token", "Attention pattern", "Direct effect")


def draw(scores: Scores, run: runs.Run, model: Model):
    """`run`: the one whose discovery set and means the scores are of."""
    now, pool = binding.view(), score_runs.pool_of(run)
    st.subheader(f"{format.head_name(now.head)} on one example", help=TERMS["one head"])
    if not pool or score_runs.means_of(run) is None:
        st.info(
            "The discovery set of these scores is gone from their run folder; score the heads again"
            " to look into one.",
            icon=":material/info:",
        )
        return
    if now.example >= len(pool):
        binding.put(example=0)
    left, right = st.columns(2, gap="medium", vertical_alignment="bottom")
    left.selectbox(
        "Example of the discovery set",
        range(len(pool)),
        **binding.bind("example"),
        help=TERMS["discovery set"],
        format_func=lambda i: f"{isolate(pool[i]['label'])} · {isolate(pool[i]['text'])}",
    )
    right.segmented_control(
        "Show", VIEWS, required=True, **binding.bind("head_view"), help=TERMS["readout"]
    )
    with errors.sentences(stop=False):
        view = look(scores, run, model)
        if view:
            SHOW[now.head_view](view, scores, pool[now.example]["label"])


def look(scores: Scores, run: runs.Run, model: Model) -> HeadView | None:
    """The view in question; a large model is run only when asked, once for all heads and
    examples.
    """
    now = binding.view()
    if model.n_params > inputs.SMALL and now.model not in st.session_state.setdefault(
        "looked", set()
    ):
        if not st.button(
            "Look into heads",
            help=(
                f"Runs the model on single examples, on {model.device}, whenever a head or an"
                " example is chosen."
            ),
        ):
            return None
        st.session_state.looked.add(now.model)
    kept = run.request.params["scoring"]
    scoring = Scoring(
        **kept
        | {
            "method": scores.method,
            "attention": scores.config.attention,
            "rules": scores.config.rules,
        }
    )
    rows = (now.task, now.data_dir, now.source, now.split)
    return computed.head_view(
        now.model, model.fingerprint, rows, run.id, now.example, now.head, scoring
    )


def by_token(view: HeadView, scores: Scores, gold: str):
    now, unit = binding.view(), score_maps.UNITS[scores.method]
    whole = scores.per_example[now.example, *view.head].item()
    chart(
        head_on_text.token_bars(
            view.pieces,
            view.relevance.numpy(),
            view.attention[view.readout].numpy(),
            unit,
            title="",
        ),
        "tokens",
    )
    st.caption(
        f"The parts add up to {format.number(view.relevance.sum().item())} logits; the head's score"
        f" on this example, split everywhere at once, is {format.number(whole)}."
        f" {POSITIONS[view.method]}",
        help=TERMS["relevance"],
    )


def attention(view: HeadView, scores: Scores, gold: str):
    chart(
        head_on_text.attention_map(view.attention.numpy(), view.pieces, view.readout, title=""),
        "attention",
    )
    st.caption(
        "Each row is a token, and its colours say at which tokens it looks. The frame is the"
        " readout, where the answer is read. Tokens stand in the order in which the model reads"
        " them.",
        help=TERMS["pattern"],
    )


def effect(view: HeadView, scores: Scores, gold: str):
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.markdown("**On the labels**", help=TERMS["direct effect"])
        chart(head_on_text.label_effects(view.labels, gold), "labels")
        others = [value for name, value in view.labels.items() if name != gold]
        lead = view.labels[gold] - sum(others) / len(others)
        st.caption(
            f"By itself the head gives the right label, **{literal(gold)}**, a lead of"
            f" {format.number(lead)} logits over the mean of the others. Its score counts what later"
            " layers make of it too, and leaves out what it writes on every text."
        )
    with right:
        st.markdown("**On the vocabulary**", help=TERMS["direct effect"])
        if view.promoted is None:
            st.caption("This model answers with classes, so it has no vocabulary to look at.")
            return
        chart(head_on_text.word_effects(view.promoted, view.suppressed), "vocabulary")
        st.caption(
            "Above the line the tokens that the head raises most at the readout, below it those it"
            " lowers most."
        )


def chart(fig, key: str):
    widgets_chart.show(fig, f"head-{key}")


SHOW = dict(zip(VIEWS, (by_token, attention, effect), strict=True))
