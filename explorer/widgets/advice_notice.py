"""A notice about advice that is missing, or that was computed from other rows."""

import streamlit as st

from explorer.session import advice_runs, binding, inputs
from explorer.text.run_names import display_name


def draw():
    """On the Circuit page: which rows the rule Advised is based on, or where to compute advice."""
    view = binding.view()
    run = advice_runs.best_run(view, weights())
    if advice_runs.read(run) is None:
        st.info(
            f"There is no advice yet on which heads to train for {display_name(view.target)}, so"
            " this rule selects no heads.",
            icon=":material/balance:",
        )
        st.page_link(
            "relevance/page.py",
            label="Compute advice on the Relevance page",
            icon=":material/arrow_back:",
        )
        return
    n, seed = advice_runs.rows_of(run)
    origin = f"Advice from {n} {display_name(view.target)} rows, seed {seed}"
    if (n, seed) == advice_runs.current_rows(view):
        st.caption(f"{origin}: the same rows that Fine-tune will use.")
    else:
        st.warning(
            f"{origin}. With the current settings, Fine-tune will use {view.n} rows, seed"
            f" {view.tune_seed}. Compute the advice again on Relevance, or take into account that"
            " the rows of the advice have been seen too.",
            icon=":material/update:",
        )


def weights() -> str:
    return inputs.load_model(binding.view().model).fingerprint
