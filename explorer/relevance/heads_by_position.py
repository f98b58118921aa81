"""The top heads at single positions, on Relevance: head by token on the chosen example, head by
position over the discovery set, and the run that scores them.
"""

import streamlit as st

from ctsft import runs
from ctsft.attribution.position_pass import TOP_HEADS
from ctsft.attribution.position_scores import PositionScores
from ctsft.attribution.scores import Head, Scores
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.requests import ScoreRequest, needed_request, same_question
from ctsft.plots.heads_by_position import position_map
from ctsft.utils import format
from explorer.session import binding, inputs, own_runs, requests, score_runs
from explorer.session.view import View
from explorer.text.glossary import POSITIONS, TERMS
from explorer.widgets import chart, run_progress
from explorer.widgets.run_receipts import covered_by


def draw(scores: Scores):
    """The maps, or a button that scores the first heads and the selected one by position."""
    run, active = newest(("done",)), newest(score_runs.ACTIVE)
    by_position = read(run)
    if by_position:
        with covered_by("positions", run):
            show(by_position, scores)
        with st.expander("The command"):
            st.code(shell_command(needed_request(run)), language="shell", wrap_lines=True)
    if active:
        run_progress.watch(active, savable=False)
        return
    heads = chosen(scores)
    if by_position and set(heads) <= set(by_position.heads):
        return
    st.button(
        f"Score the top {TOP_HEADS} heads and {format.head_name(binding.view().head)} by position",
        on_click=start,
        args=(heads,),
        help=(
            "Splits each of these heads at one token at a time, on every text of the discovery"
            " set. CD-T and removal take a forward pass for each token and head, the gradient"
            " methods two for each text and head."
        ),
    )


def chosen(scores: Scores) -> list[Head]:
    """The first heads, and the selected one."""
    return list(dict.fromkeys([*scores.ranking()[:TOP_HEADS], binding.view().head]))


def request(view: View, heads: list[Head]) -> ScoreRequest:
    """The request of the view's scores with these heads by position."""
    change = {"by_position": True, "heads": tuple(map(format.head_name, heads)), "preview": False}
    return requests.score_request(view).model_copy(update=change)


def start(heads: list[Head]):
    own_runs.start(request(binding.view(), heads))


def newest(states: tuple[str, ...]) -> runs.Run | None:
    """The newest run of the page's scores that has scores by position."""
    wanted = requests.score_request(binding.view())
    return score_runs.find_run(
        "score",
        lambda other: other.by_position and same_question(wanted, other),
        states,
        (None, inputs.load_model(binding.view().model).fingerprint),
    )


def read(run: runs.Run | None) -> PositionScores | None:
    path = run.file("positions.json") if run else None
    return _read(str(path), path.stat().st_mtime) if path and path.is_file() else None


@st.cache_data(show_spinner=False, max_entries=16)
def _read(path: str, changed: float) -> PositionScores:
    return PositionScores.load(path)


def show(by_position: PositionScores, scores: Scores):
    view = binding.view()
    place = scores.examples[view.example] if view.example < len(scores.examples) else None
    if place in by_position.examples and not view.own_text.strip():
        st.markdown("**On this example**", help=TERMS["relevance"])
        figure = position_map(by_position, by_position.examples.index(place))
        chart.show(figure, "heads-on-text")
    st.markdown(f"**Mean over {len(by_position.examples)} examples**", help=TERMS["discovery set"])
    chart.show(position_map(by_position), "heads-by-position")
    st.caption(
        "Positions are counted from the readout, where the answer is read."
        f" {POSITIONS[by_position.method]}"
    )
    st.download_button(
        "Scores by position (CSV)",
        by_position.csv,
        "scores-by-position.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
        help="Columns: layer, head, offset from the readout, score, standard error, texts.",
    )
