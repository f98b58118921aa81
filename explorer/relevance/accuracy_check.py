"""A quick look at the answers before the heads are scored: scoring takes long on a large model, and
it needs correctly answered rows of every label.
"""

import streamlit as st

from ctsft.data.task import Task
from ctsft.model.model import Model
from explorer.session import binding, computed, errors, inputs
from explorer.session.computed import FewAnswers
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal

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
        show(computed.few_answers(view.model, model.fingerprint, rows, ROWS), task)


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
