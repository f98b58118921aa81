"""What the pages say about advice that is missing or was given for other rows."""

import streamlit as st

from explorer.session import advice_runs, binding, inputs
from explorer.text.outcomes import said


def told():
    """On the Circuit page: which rows the rule Advised rests on, or where to ask."""
    now = binding.view()
    run = advice_runs.run_of(now, weights())
    if advice_runs.read(run) is None:
        st.info(
            f"Nobody asked yet which heads should move for {said(now.target)}, so this rule picks"
            " none.",
            icon=":material/balance:",
        )
        st.page_link(
            "relevance/page.py", label="Ask on the Relevance page", icon=":material/arrow_back:"
        )
        return
    n, seed = advice_runs.rows_of(run)
    words = f"Advice from {n} {said(now.target)} rows, seed {seed}"
    if (n, seed) == advice_runs.asked_by(now):
        st.caption(f"{words}: those that Fine-tune draws.")
    else:
        st.warning(
            f"{words}; Fine-tune would now draw {now.n} with seed {now.tune_seed}. Ask again on"
            " Relevance, or mind that these rows count as seen too.",
            icon=":material/update:",
        )


def weights() -> str:
    return inputs.load_model(binding.view().model).fingerprint
