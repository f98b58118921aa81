"""What the data look like: rows of every label in each language, how the labels are shared out, how
long the prompts are.
"""

import streamlit as st

from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.plots import data
from explorer.session import binding, computed, errors, inputs
from explorer.session.data_facts import aligned, balance, spread, tally
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart

EACH = 2  # rows of a label in each language


def draw(task: Task, model: Model | None):
    now = binding.view()
    st.subheader("Data", help=TERMS["data"])
    here = [language for language in now.gallery if language in task.languages]
    if here != now.gallery:
        binding.put(gallery=here)
    if len(task.languages) > 2:
        st.pills(
            "Languages shown",
            task.languages,
            selection_mode="multi",
            format_func=literal,
            wrap=True,
            **binding.bind("gallery"),
            help="None chosen: the source and the target language.",
        )
    languages = list(binding.view().gallery or dict.fromkeys((now.source, now.target)))
    tables = {}
    for language in languages:
        with errors.sentences(stop=False):
            tables[language] = inputs.load_rows(now.task, now.data_dir, language, now.split)
    if not tables:
        return
    for language, of in tables.items():
        st.caption(
            f"**{literal(language)}**, {len(of)} {now.split} rows:"
            f" {literal(', '.join(balance(of, task.labels)))}"
        )
    charts(task, model, tables)
    st.markdown(f"**{EACH} {literal(now.split)} rows of each label**")
    rows(task, tables)


def charts(task: Task, model: Model | None, tables: dict):
    now = binding.view()
    left, right = st.columns(2, gap="medium")
    with left:
        fig = data.balance_bars(
            {language: tally(of, task.labels) for language, of in tables.items()}
        )
        chart.show(fig, "balance")
    with right, errors.sentences(stop=False):
        if model:
            lengths = {
                language: computed.lengths(now.model, (now.task, now.data_dir, language, now.split))
                for language in tables
            }
            roles = {now.target: "target", now.source: "source"}
            fig = data.length_lines(lengths, roles, task.max_length)
            chart.show(fig, "lengths")


def rows(task: Task, tables: dict):
    """One table when the languages are translations of each other, otherwise one for each."""
    first, *others = tables
    pairs = {
        other: {id(a): b for a, b in aligned(tables[first], tables[other])} for other in others
    }
    n = EACH * len(task.labels)
    if others and all(pairs.values()):
        few = spread(
            [row for row in tables[first] if all(id(row) in of for of in pairs.values())],
            task.labels,
            n,
        )
        table(
            [
                {
                    "id": row.id,
                    "label": row.label,
                    first: row.text,
                    **{other: of[id(row)].text for other, of in pairs.items()},
                }
                for row in few
            ]
        )
        return
    for start in range(0, len(tables), 2):
        for column, language in zip(st.columns(2), list(tables)[start : start + 2], strict=False):
            with column:
                table(
                    [
                        {"id": row.id, "label": row.label, language: row.text}
                        for row in spread(tables[language], task.labels, n)
                    ]
                )


def table(of: list[dict]):
    """Whole texts: cells of a table wrap, and what they hold is Markdown."""
    st.table(
        [{literal(name): literal(value) for name, value in row.items()} for row in of],
        hide_index=True,
    )
