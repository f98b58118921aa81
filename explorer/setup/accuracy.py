"""How well the model does the task before any tuning, on Setup: accuracy of source and target, and
the labels it confuses in any language.
"""

import streamlit as st

from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.plots import data
from explorer.session import binding, computed, errors, inputs
from explorer.session.data_facts import confusion, split_of
from explorer.setup import competence
from explorer.setup.facts import Measured
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal, short
from explorer.widgets import chart

BESIDE = 2  # confusion maps in a row


def draw(model: Model, task: Task):
    now = binding.view()
    asked = (now.model, now.task, now.data_dir)
    measured = st.session_state.setdefault("measured", set())
    if model.n_params > inputs.SMALL and asked not in measured:
        if not st.button(
            "Measure accuracy",
            help=f"{short(model.n_params)} parameters: this may take minutes on {model.device}.",
        ):
            st.caption("Accuracy is not measured by itself for a model of this size.")
            return
        measured.add(asked)
    found, figures = {}, []
    roles = {now.source: (":blue[●]", "source"), now.target: (":orange[●]", "target")}
    for column, (language, (dot, role)) in zip(st.columns(2), roles.items(), strict=False):
        with column, errors.sentences(stop=False):
            one, split, fig = measure(model, task, language)
            found[role] = one
            figures.append(fig)
            st.metric(
                f"{dot} Accuracy in {literal(language)} ({role})",
                f"{one.accuracy:.2f} ± {one.error:.2f}",
                help="Before any tuning. " + TERMS["accuracy"],
            )
            st.caption(f"{one.rows} {split} rows; guessing reaches {one.chance:.2f}")
    if figures:
        with st.expander("Which labels it confuses"):
            confused(
                model,
                task,
                figures,
                [language for language in task.languages if language not in roles],
            )
    if "source" in found:
        competence.draw(found["source"])


def measure(model: Model, task: Task, language: str):
    """Accuracy, the split it was measured on, and the confusion map."""
    now = binding.view()
    split = split_of(task, language, now.split)
    rows = inputs.load_rows(now.task, now.data_dir, language, split)
    answers = computed.answers(
        now.model, model.fingerprint, (now.task, now.data_dir, language, split)
    )
    one = Measured.of(rows, answers, len(task.labels))
    title = f"{language}: {one.accuracy:.2f} ± {one.error:.2f}, {one.rows} {split} rows"
    return (
        one,
        split,
        data.confusion_map(confusion(rows, answers, task.labels), task.labels, title=title),
    )


def confused(model: Model, task: Task, figures: list, others: list[str]):
    """Maps of source and target, and of further languages that are chosen here."""
    st.caption(
        "Numbers are rows; a darker cell is a larger share of its row. The diagonal is right.",
        help=TERMS["confusion"],
    )
    if others:
        here = [language for language in binding.view().confused if language in others]
        if here != binding.view().confused:
            binding.put(confused=here)
        st.pills(
            "Other languages too",
            others,
            selection_mode="multi",
            format_func=literal,
            wrap=True,
            **binding.bind("confused"),
            help=(
                "Each is measured when it is chosen, on its test rows, or on validation rows where"
                " it has none."
            ),
        )
        for language in binding.view().confused:
            with errors.sentences(stop=False):
                figures.append(measure(model, task, language)[2])
    for start in range(0, len(figures), BESIDE):
        for i, column in enumerate(st.columns(BESIDE)[: len(figures) - start]):
            with column:
                chart.show(figures[start + i], f"confusion-{start + i}")
