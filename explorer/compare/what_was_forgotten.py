"""What was forgotten, on the Compare page: counts by run, and the lost texts themselves beside each
other.
"""

from collections.abc import Mapping

import streamlit as st

from ctsft import runs
from ctsft.data.task import Example
from ctsft.jobs.requests import needed_request
from ctsft.runs.answers import Answers
from ctsft.utils.errors import UserError
from explorer.compare import curves, forgotten, lost_texts
from explorer.compare.summary import stored_answers
from explorer.session import binding, inputs
from explorer.text.glossary import TERMS
from explorer.text.run_names import display_name

MOST_TEXTS = 50
# pixels: of the table in a small window, of the label, of a way of tuning, of the text
TABLE, LABEL, WAY, TEXT = 950, 80, 130, (300, 600)
MOST_COUNTED = 20  # runs whose lost texts are counted


def draw(rows: list[dict], names: Mapping[str, str]):
    counts = forgotten.texts_lost(
        rows[:MOST_COUNTED], [names[row["run"]] for row in rows[:MOST_COUNTED]], stored_answers
    )
    if counts.empty:
        return
    st.subheader("What was forgotten", help=TERMS["mcnemar"])
    texts(rows, names)
    with st.expander("Texts lost and won by each run"):
        st.caption(
            "Texts that were right before tuning and are wrong after it (lost), and the reverse"
            " (won). *Lost by others too*: of the lost source texts, those that another run of"
            " this list lost as well."
        )
        st.dataframe(
            counts,
            hide_index=True,
            column_config={
                name: st.column_config.Column(help=text) for name, text in forgotten.HELP.items()
            },
            alt="Texts lost and won on source and target, by run.",
        )


def text_width(ways: int) -> int:
    """Pixels of the texts' column, which leave room for a column of each way of tuning in a window
    1280 pixels wide.
    """
    narrowest, widest = TEXT
    return min(max(TABLE - LABEL - WAY * ways, narrowest), widest)


def texts(rows: list[dict], names: Mapping[str, str]):
    """A line for each lost text, and a column for each way of tuning."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Language",
            ["source", "target"],
            required=True,
            label_visibility="collapsed",
            **binding.bind("compare_lost"),
        )
        st.segmented_control(
            "Texts",
            list(lost_texts.WHICH),
            format_func=lost_texts.WHICH.get,
            required=True,
            label_visibility="collapsed",
            **binding.bind("compare_lost_by"),
        )
    view = binding.view()
    of = lost_texts.compare_lost(
        curves.named_groups(rows, names), view.compare_lost, stored_answers, examples
    )
    if of is None:
        st.caption("Which texts changed is not stored for this language.")
        return
    some = lost_texts.chosen(of, view.compare_lost_by)
    text = (
        f"{len(some)} {display_name(of.language)} texts ({of.split} rows)"
        f" {lost_texts.WHICH[view.compare_lost_by]}; right before tuning, wrong after it."
    )
    if len(some) > MOST_TEXTS:
        text += f" The first {MOST_TEXTS} are shown; the file has all."
    if not of.readable:
        text += " The texts are not at hand, or have changed since: their ids are shown."
    st.caption(text, help="A way of several seeds has lost a text if most of its seeds have.")
    if not some:
        return
    lost = lost_texts.table(of, some[:MOST_TEXTS])
    width = text_width(len(lost[0]) - len(("text", "label")))
    st.dataframe(
        lost,
        hide_index=True,
        height="auto" if len(some) < 8 else 320,
        column_config={"text": st.column_config.TextColumn("text", width=width, pinned=True)},
        alt="Lost texts, and for each way of tuning whether it lost them.",
    )
    st.download_button(
        "Lost texts (CSV)",
        lambda: lost_texts.csv(of, some),
        "lost-texts.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def examples(row: Mapping, answered: Answers) -> list[Example]:
    """The task's rows of a language that a run was measured on; none where they are not here."""
    subject = needed_request(runs.get(row["run"])).subject
    language = row[binding.view().compare_lost]
    try:
        return inputs.load_rows(subject.task, subject.data_dir or "", language, answered.split)
    except UserError:
        return []
