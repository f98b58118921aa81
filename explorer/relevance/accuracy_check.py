"""A quick look at the answers before the heads are scored: scoring takes long on a large model, and
it needs correctly answered rows of every label.
"""

import shlex

import streamlit as st

from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.receipts.receipt import Receipt, RowSet
from explorer.session import binding, computed, errors, inputs, receipts
from explorer.session.computed import FewAnswers
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import receipt

ROWS = 30  # that are answered
REMEDIES = (
    "What helps: another prompt or other label words (Setup), competence tuning (Setup), or another"
    " model."
)


def draw(model: Model, task: Task):
    """At once for a small model, on request for a large one."""
    view = binding.view()
    rows = (view.task, view.data_dir, view.source, view.split)
    checked = st.session_state.setdefault("checked_accuracy", set())
    work = (view.subject, model.fingerprint)
    if model.n_params > inputs.SMALL and work not in checked:
        if not st.button(
            f"Check the answers first ({ROWS} texts)",
            icon=":material/fact_check:",
            help=f"Seconds, where scoring may take hours. {TERMS['accuracy']}",
        ):
            return
        checked.add(work)
    with errors.sentences(stop=False):
        few = computed.few_answers(view.model, model.fingerprint, rows, ROWS)
        with receipt.covered("quick-check", [receipt_of(few, model)]):
            show(few, task)


def receipt_of(few: FewAnswers, model: Model) -> Receipt:
    """Of a check that no run stores."""
    view = binding.view()
    data_dir = f", data_dir={view.data_dir!r}" if view.data_dir else ""
    code = (
        "import ctsft; from explorer.session.data_facts import spread;"
        f" task = ctsft.load_task({view.task!r}{data_dir});"
        f" rows = task.pools(task.load({view.source!r}, {view.split!r}))[0];"
        f" rows = spread(rows, task.labels, {ROWS});"
        f" print(ctsft.accuracy(ctsft.load_model({view.model!r}), task, rows))"
    )
    return Receipt(
        command=shlex.join(["python", "-c", code]),
        run="none: measured on this page",
        rows=(RowSet(name=view.source, split=view.split, count=few.asked),),
        seed="none: nothing is drawn",
        model_fingerprint=receipts.weights(model),
        interval="none: a quick check",
    )


def show(few: FewAnswers, task: Task):
    answered = f"{few.right} of {few.asked} {literal(binding.view().source)} texts"
    never = [label for label in task.labels if label not in few.answers]
    if never:
        st.warning(
            f"The model answers {literal(', '.join(never))} for none of {few.asked} texts, and"
            " scoring needs correctly answered texts of every label, so it may fail. " + REMEDIES,
            icon=":material/rule:",
        )
    elif few.right <= few.asked / len(task.labels) * 1.3:
        st.warning(
            f"The model answers {answered} correctly, hardly more than guessing would, so the"
            " scores of its heads would mean little. " + REMEDIES,
            icon=":material/school:",
        )
    else:
        st.caption(f":material/fact_check: A quick check: {answered} are answered correctly.")
