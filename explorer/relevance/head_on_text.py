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
from explorer.relevance.page_scores import PageScores
from explorer.session import binding, computed, errors, inputs, score_runs
from explorer.text.glossary import POSITIONS, TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart


def draw(shown: PageScores):
    view, pool = binding.view(), score_runs.pool_of(shown.run)
    st.subheader(f"{format.head_name(view.head)} on one example", help=TERMS["one head"])
    if not pool or shown.means is None:
        st.info(
            "The discovery set was removed from the run folder of these scores. Score the heads"
            " again to inspect a head on an example.",
            icon=":material/info:",
        )
        return
    choose(pool)
    with errors.sentences(stop=False):
        if may_run(shown.model):
            head_view = compute(shown.scores, shown.run, shown.model)
            VIEWS[view.head_view](head_view, shown.scores, pool[view.example]["label"])


def choose(pool: list[dict]):
    if binding.view().example >= len(pool):
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
        "Show", list(VIEWS), required=True, **binding.bind("head_view"), help=TERMS["readout"]
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


def compute(scores: Scores, run: runs.Run, model: Model) -> HeadView:
    """The selected head on the selected example, with the settings of the scores on the page."""
    view = binding.view()
    settings = asdict(needed_request(run).scoring) | {
        "method": scores.method,
        "attention": scores.config.attention,
        "rules": scores.config.rules,
    }
    rows = (view.task, view.data_dir, view.source, view.split)
    return computed.head_view(
        view.model,
        model.fingerprint,
        rows,
        (run.id, view.example),
        view.head,
        Scoring(**settings),
    )


def by_token(head_view: HeadView, scores: Scores, label: str):
    figure = head_on_text.token_bars(
        head_view.pieces,
        head_view.relevance.numpy(),
        head_view.attention[head_view.readout].numpy(),
        METHODS[scores.method].unit,
        title="",
    )
    chart.show(figure, "head-tokens")
    total = head_view.relevance.sum().item()
    score = scores.per_example[binding.view().example, *head_view.head].item()
    st.caption(
        f"The parts add up to {format.number(total)} logits. The head's score on this example,"
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
    left, right = st.columns([2, 3], gap="medium")
    with left:
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
    with right:
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


VIEWS = {"By token": by_token, "Attention pattern": attention, "Direct effect": direct_effect}
