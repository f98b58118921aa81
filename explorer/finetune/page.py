"""The Fine-tune page: one tuning run, or an experiment that compares ways of tuning."""

import streamlit as st

from explorer.finetune import experiment_form, one_language, one_run
from explorer.session import binding, errors, inputs
from explorer.text.glossary import TERMS

TABS = ("One run", "Experiment")


def page():
    st.header("Fine-tune", help=TERMS["recipes"])
    task = inputs.task()
    if not task.targets:
        one_language.draw(task)
        return
    tab = st.segmented_control(
        "What to do", TABS, required=True, label_visibility="collapsed", **binding.bind("tune_tab")
    )
    if tab == "Experiment":
        experiment_form.draw()
    else:
        one_run.draw()
    st.page_link("compare/page.py", label="Next: compare the runs", icon=":material/arrow_forward:")


with errors.sentences():
    page()
