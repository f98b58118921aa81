"""The sidebar: the five steps, each with its state in three or four words, so that a glance tells
where one is.
"""

import streamlit as st

from ctsft import runs
from ctsft.jobs import tuning_table
from ctsft.utils.errors import UserError
from explorer.session import binding, inputs, score_runs
from explorer.session import circuit as session_circuit


def draw(pages: dict):
    with st.sidebar:
        st.title("Circuit explorer", anchor=False)
        for number, (name, page) in enumerate(pages.items(), 1):
            with st.container(gap=None):
                # the state stands right under its step
                st.page_link(page, label=f"{number} · {page.title}")
                st.caption(words(name))


def words(step: str) -> str:
    """A step's state; an error there is told on its own page."""
    try:
        return STEPS[step]()
    except UserError:
        return "needs a look"


def setup() -> str:
    model = inputs.load_model(binding.view().model)
    return f"{model.model_type}, {model.n_layers * model.n_heads} heads"


def relevance() -> str:
    now = binding.view()
    scores, kind = score_runs.scores()
    active = score_runs.score_run(("queued", "running", "stopping"))
    if active and waits(active):
        return "queued"
    if active:
        return f"scoring, {active.status().progress:.0%}" + (
            " (preview shown)" if kind == "preview" else ""
        )
    if scores is not None:
        return f"scored, {len(scores.examples)} examples"
    other = any(
        run.request.params.get("subject", {}).get("model") == now.model
        for run in runs.list_runs("score")
        if run.status().state == "done"
    )
    return "out of date: score again" if other else "not scored yet"


def waits(run: runs.Run) -> bool:
    """Whether a run waits for its turn on the device."""
    status = run.status()
    return status.state == "queued" and bool(status.message)


def circuit() -> str:
    scores, _ = score_runs.scores()
    if scores is None:
        return "waits for scores"
    found = session_circuit.circuit(scores)
    count = session_circuit.would_move(binding.view().model, tuple(sorted(found.heads)))
    return f"{len(found)} heads, {count['group'] / count['total']:.1%} moves"


def finetune() -> str:
    active = [run for run in runs.list_runs("finetune") if run.status().active]
    going = [run for run in active if not waits(run)]
    if active:
        return f"running, {going[0].status().progress:.0%}" if going else "queued"
    return "ready" if score_runs.scores()[0] is not None else "waits for a circuit"


def compare() -> str:
    count = len(tuning_table.compare())
    return "no runs yet" if not count else "1 run" if count == 1 else f"{count} runs"


STEPS = {
    "setup": setup,
    "relevance": relevance,
    "circuit": circuit,
    "finetune": finetune,
    "compare": compare,
}
