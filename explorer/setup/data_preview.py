"""A preview of the data on Setup: how many rows each label has, how long the prompts are, and a few
rows of each label in each language.
"""

import streamlit as st

from ctsft.data.task import Example, Task
from ctsft.model.model import Model
from ctsft.plots import data
from explorer.session import binding, computed, errors, inputs
from explorer.session.data_facts import aligned, balance, spread, tally
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart

ROWS_PER_LABEL = 2  # in each language

RowsByLanguage = dict[str, list[Example]]


def draw(task: Task, model: Model | None):
    view = binding.view()
    st.subheader("Data", help=TERMS["data"])
    rows: RowsByLanguage = {}
    for language in shown_languages(task):
        with errors.sentences(stop=False):
            rows[language] = inputs.load_rows(view.task, view.data_dir, language, view.split)
    if not rows:
        return
    for language, of_language in rows.items():
        st.caption(
            f"**{literal(language)}**, {len(of_language)} {view.split} rows:"
            f" {literal(', '.join(balance(of_language, task.labels)))}"
        )
    charts(task, model, rows)
    st.markdown(f"**{ROWS_PER_LABEL} {literal(view.split)} rows of each label**")
    example_rows(task, rows)


def shown_languages(task: Task) -> list[str]:
    """The chosen languages; source and target where none is chosen."""
    view = binding.view()
    chosen = [language for language in view.preview_languages if language in task.languages]
    if chosen != view.preview_languages:
        binding.put(preview_languages=chosen)
    if len(task.languages) > 2:
        st.pills(
            "Languages shown",
            task.languages,
            selection_mode="multi",
            format_func=literal,
            wrap=True,
            **binding.bind("preview_languages"),
            help="Choose none to see the source and the target language.",
        )
    return list(view.preview_languages or dict.fromkeys((view.source, view.target)))


def charts(task: Task, model: Model | None, rows: RowsByLanguage):
    view = binding.view()
    left, right = st.columns(2, gap="medium")
    with left:
        counts = {language: tally(rows[language], task.labels) for language in rows}
        chart.show(data.balance_bars(counts), "balance")
    with right, errors.sentences(stop=False):
        if model:
            lengths = {
                language: computed.lengths(
                    view.model, (view.task, view.data_dir, language, view.split)
                )
                for language in rows
            }
            roles = {view.target: "target", view.source: "source"}
            chart.show(data.length_lines(lengths, roles, task.max_length), "lengths")


def example_rows(task: Task, rows: RowsByLanguage):
    """One table when the languages are translations of each other, otherwise one for each."""
    first, *others = rows
    n = ROWS_PER_LABEL * len(task.labels)
    translations = {
        other: {id(row): translated for row, translated in aligned(rows[first], rows[other])}
        for other in others
    }
    if others and all(translations.values()):
        in_all = [row for row in rows[first] if all(id(row) in of for of in translations.values())]
        table(
            [
                {"id": row.id, "label": row.label, first: row.text}
                | {other: of[id(row)].text for other, of in translations.items()}
                for row in spread(in_all, task.labels, n)
            ]
        )
        return
    for start in range(0, len(rows), 2):
        for column, language in zip(st.columns(2), list(rows)[start : start + 2], strict=False):
            with column:
                table(
                    [
                        {"id": row.id, "label": row.label, language: row.text}
                        for row in spread(rows[language], task.labels, n)
                    ]
                )


def table(rows: list[dict]):
    """Shows whole texts: the cells of `st.table` wrap, and they are Markdown."""
    st.table(
        [{literal(name): literal(value) for name, value in row.items()} for row in rows],
        hide_index=True,
    )
