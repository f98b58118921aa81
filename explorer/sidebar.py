"""The sidebar: the five steps, each with its state in three or four words.

The states need torch, and are not known yet on the very first screen.
"""

import logging

import streamlit as st

from ctsft import runs
from ctsft.utils.errors import UserError
from explorer.session import binding, errors

UNKNOWN = "…"


def draw(pages: dict, known: bool = True):
    """known: whether the states of the steps can be told yet."""
    with st.sidebar:
        st.title("Circuit explorer", anchor=False)
        if not known:
            errors.fragment(steps)(pages, False)
            return
        from explorer.widgets import running_jobs  # torch: not for the first screen

        every = running_jobs.SECONDS if running_jobs.active() else None
        errors.fragment(steps, run_every=every)(pages)
        running_jobs.draw()


def steps(pages: dict, known: bool = True):
    for number, (name, page) in enumerate(pages.items(), 1):
        with st.container(gap=None):
            # no gap: the state belongs to the step above it
            st.page_link(page, label=f"{number} · {page.title}")
            st.caption(state(name) if known else UNKNOWN)


def state(step: str) -> str:
    """The state of a step. Its page shows the errors; here they are one phrase."""
    try:
        return STEPS[step]()
    except UserError:
        return "has an error"
    except Exception:
        logging.getLogger(__name__).exception("the state of %s failed", step)
        return "has an error"


def setup() -> str:
    from explorer.session import inputs

    model = inputs.load_model(binding.view().model)
    return f"{model.model_type}, {model.n_layers * model.n_heads} heads"


def relevance() -> str:
    from explorer.session import score_runs

    scores, kind = score_runs.scores()
    active = score_runs.score_run(("queued", "running", "stopping"))
    if active and waits_for_device(active):
        return "queued"
    if active:
        preview = " (preview shown)" if kind == "preview" else ""
        return f"scoring, {active.status().progress:.0%}{preview}"
    if scores is not None:
        return f"scored, {len(scores.examples)} examples"
    return "out of date: score again" if scored_otherwise() else "not scored yet"


def scored_otherwise() -> bool:
    """Whether the current model was scored with other settings."""
    from ctsft.jobs.requests import typed_runs

    model = binding.view().model
    return any(
        request.subject.model == model
        for run, request in typed_runs("score")
        if run.status().state == "done"
    )


def waits_for_device(run: runs.Run) -> bool:
    status = run.status()
    return status.state == "queued" and bool(status.message)


def circuit() -> str:
    from explorer.session import circuit as session_circuit
    from explorer.session import score_runs

    scores, _ = score_runs.scores()
    if scores is None:
        return "needs scores"
    heads = session_circuit.current(scores).heads
    counts = session_circuit.trainable_counts(binding.view().model, tuple(sorted(heads)))
    return f"{len(heads)} heads, {counts['group'] / counts['total']:.1%} trainable"


def finetune() -> str:
    from explorer.session import score_runs

    active = [run for run in runs.list_runs("finetune") if run.status().active]
    running = [run for run in active if not waits_for_device(run)]
    if running:
        return f"running, {running[0].status().progress:.0%}"
    if active:
        return "queued"
    return "ready" if score_runs.scores()[0] is not None else "needs a circuit"


def compare() -> str:
    from ctsft.jobs import tuning_table

    count = len(tuning_table.table_rows())
    if count == 0:
        recorded = len(runs.list_read_only("finetune"))
        return f"{recorded} recorded" if recorded else "no runs yet"
    return "1 run" if count == 1 else f"{count} runs"


STEPS = {
    "setup": setup,
    "relevance": relevance,
    "circuit": circuit,
    "finetune": finetune,
    "compare": compare,
}
