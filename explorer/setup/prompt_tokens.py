"""One prompt as the model reads it, token by token, on Setup."""

import streamlit as st

from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.utils.right_to_left import isolate
from explorer.session import binding, inputs
from explorer.session.data_facts import pieces, spread
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal

ROWS_OFFERED = 30


def draw(model: Model, task: Task):
    view = binding.view()
    st.subheader("What the model reads", help=TERMS["tokens"])
    all_rows = inputs.load_rows(view.task, view.data_dir, view.source, view.split)
    rows = {row.id: row for row in spread(all_rows, task.labels, ROWS_OFFERED)}
    chosen = st.selectbox(
        "Row",
        list(rows),
        key="prompt_row",
        help="A row of the source language.",
        format_func=lambda row_id: (
            f"{row_id} · {isolate(rows[row_id].label)} · {isolate(rows[row_id].text[:90])}"
        ),
    )
    if chosen not in rows:
        return
    row = rows[chosen]
    tokens = pieces(model, task, row)
    st.code("│".join(tokens), language=None, wrap_lines=True)
    labels = ", ".join(
        f"“ {label}” (token {token})" for label, token in task.label_ids(model).items()
    )
    st.caption(
        f"{len(tokens)} tokens, separated by │. The answer is the most likely next token among"
        f" {literal(labels)}. The correct answer here is **{literal(row.label)}**."
    )
