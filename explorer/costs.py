"""What a scoring pass would cost, said before it is started."""
import streamlit as st

from ctsft import planning
from ctsft.errors import UserError
from ctsft.estimate import Estimate, time_words
from ctsft.jobs import Scoring
from explorer import known, state

BY_TEXT = 2.5                          # measured on the bundled model with one thread: 1.6 s against 0.65 s for 150 texts

def draw(scoring: Scoring, name: str):
    """A line with time and memory; a large model is calibrated only when asked. An error here is the action's own, told there."""
    found = estimate(scoring, name)
    if found:
        st.caption(f":material/timer: {name} would take **about {time_words(found.seconds)}** on this machine ({device()}) and hold "
                   f"{planning.words(found.memory)} of memory at its peak: {found.examples} texts, {found.tokens:,} tokens, every head.",
                   help=f"An estimate: {found.operations:.2g} operations at {found.rate / 1e9:.3g} GFLOP/s, measured on one batch of this pass. "
                        "Within a factor of 1.5 on a machine that does nothing else; drawing the examples and loading the model come on top.")


def of_gradients(rows: int, name: str):
    """A line on gradients of single texts, of which there is no estimate of their own: `BY_TEXT` times attribution patching's."""
    found = estimate(Scoring(size=rows, method="atp"), name)
    if found:
        seconds = BY_TEXT * found.seconds * rows / found.examples
        st.caption(f":material/timer: {name} would take **roughly {time_words(seconds)}** on this machine ({device()}): a forward and a backward "
                   f"pass of {rows} texts, nearly all of them one at a time.", help="A rough estimate from one batch of attribution patching on this "
                   "machine; loading the model comes on top.")


def device() -> str:
    return str(state.load_model(state.view().model).device)


def estimate(scoring: Scoring, name: str) -> Estimate | None:
    now = state.view()
    model = state.load_model(now.model)
    asked = (now.subject, scoring)
    wanted = st.session_state.setdefault("estimated", set())
    if model.n_params > state.SMALL and asked not in wanted:
        if not st.button("Estimate the cost", key=f"cost-{name}", help=f"Runs one batch of the pass on {model.device}: seconds to a minute."):
            return None
        wanted.add(asked)
    try:
        return known.cost(now.model, model.fingerprint, (now.task, now.data_dir, now.source, now.split), scoring)
    except UserError:
        return None
