"""The Fine-tune page: one tuning run, or an experiment that compares ways of tuning."""

import streamlit as st

from explorer.session import binding, errors, inputs
from explorer.text.glossary import TERMS

TABS = ("One run", "Experiment")


def page():
    task = inputs.task()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header("Fine-tune", help=TERMS["recipes"])
        tab = st.segmented_control(
            "What to do",
            TABS,
            required=True,
            label_visibility="collapsed",
            disabled=not task.targets,
            width="content",
            **binding.bind("tune_tab"),
        )
    if not task.targets:
        from explorer.finetune import one_language

        one_language.draw(task)
        return
    if tab == "Experiment":
        from explorer.finetune import experiment_form

        experiment_form.draw()
    else:
        from explorer.finetune import one_run  # torch, which an experiment does not need

        one_run.draw()
    st.page_link("compare/page.py", label="Next: compare the runs", icon=":material/arrow_forward:")


with errors.sentences():
    page()
