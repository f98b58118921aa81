"""What a scoring pass would cost, said before it is started."""
import streamlit as st

from ctsft import planning
from ctsft.errors import UserError
from ctsft.estimate import time_words
from ctsft.jobs import Scoring
from explorer import known, state


def draw(scoring: Scoring, name: str):
    """A line with time and memory; a large model is calibrated only when asked. An error here is the action's own, told there."""
    now = state.view()
    model = state.load_model(now.model)
    asked = (now.subject, scoring)
    wanted = st.session_state.setdefault("estimated", set())
    if model.n_params > state.SMALL and asked not in wanted:
        if not st.button("Estimate the cost", key=f"cost-{name}", help=f"Runs one batch of the pass on {model.device}: seconds to a minute."):
            return
        wanted.add(asked)
    try:
        found = known.cost(now.model, model.fingerprint, (now.task, now.data_dir, now.source, now.split), scoring)
    except UserError:
        return
    st.caption(f":material/timer: {name} would take **about {time_words(found.seconds)}** on this machine ({model.device}) and hold "
               f"{planning.words(found.memory)} of memory at its peak: {found.examples} texts, {found.tokens:,} tokens, every head.",
               help=f"An estimate: {found.operations:.2g} operations at {found.rate / 1e9:.3g} GFLOP/s, measured on one batch of this pass. Within "
                    "a factor of 1.5 on a machine that does nothing else; drawing the examples and loading the model come on top.")
