"""What a scoring pass would cost, said before it is started."""
import streamlit as st

from ctsft import planning
from ctsft.errors import UserError
from ctsft.estimate import Estimate, time_words
from ctsft.jobs import Scoring
from explorer import known, state

# A text's share of the time, in units of attribution patching's; on the bundled model with one thread that takes 0.65 s for 150 texts.
BY_TEXT = 2.5                          # gradients of single texts: 1.6 s for 150
TUNED = 4.0                            # full tuning with its evaluations: 6.3 s for three epochs of 120

def draw(scoring: Scoring, name: str):
    """A line with time and memory; a large model is calibrated only when asked. An error here is the action's own, told there."""
    found = estimate(scoring, name)
    if found:
        st.caption(f":material/timer: {name} would take **about {time_words(found.seconds)}** on this machine ({device()}) and hold "
                   f"{planning.words(found.memory)} of memory at its peak: {found.examples} texts, {found.tokens:,} tokens, every head.",
                   help=f"An estimate: {found.operations:.2g} operations at {found.rate / 1e9:.3g} GFLOP/s, measured on one batch of this pass. "
                        "Within a factor of 1.5 on a machine that does nothing else; drawing the examples and loading the model come on top.")


def of_rows(rows: int, name: str, times: float, what: str):
    """A line on work of which there is no estimate of its own: so many `times` attribution patching of `rows` texts. `what` it does."""
    most = len(state.load_rows(state.view().task, state.view().data_dir, state.view().source, state.view().split))
    found = estimate(Scoring(size=min(rows, most), method="atp"), name)
    if found:
        st.caption(f":material/timer: {name} would take **roughly {time_words(times * found.seconds * rows / found.examples)}** on this machine "
                   f"({device()}): {what}.", help="From one batch of attribution patching on this machine, a forward and a backward pass too; "
                   f"what the work takes beyond that is a factor of {times:g}, measured on the bundled model.")


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
