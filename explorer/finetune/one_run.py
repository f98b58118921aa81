"""One tuning run: the settings and the start at the left, the run with its curves at the right."""

import streamlit as st

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.requests import needed_request
from explorer.finetune import (
    after_run,
    command,
    form,
    live_run,
    trained_heads,
    trained_parameters,
)
from explorer.finetune.command import HeadSources
from explorer.session import binding, inputs, score_runs
from explorer.session import circuit as session_circuit
from explorer.text.markdown import literal
from explorer.widgets import run_progress
from explorer.widgets.run_receipts import covered_by

CURVES, HEADS = "Curves", "Heads to train"
PANELS = (CURVES, HEADS)
CONTROLS_WIDTH = 380  # pixels
NO_RUN = "No run with this model and task yet: press *Start tuning*, and its curves appear here."


def draw():
    sources, view = head_sources(), binding.view()
    listed = command.listed(view)
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=CONTROLS_WIDTH, gap="small"):
            form.draw(inputs.task(), sources.k)
            heads = trained_parameters.heads(view, sources)
            start(sources, heads)
            form.settings(inputs.task())
            as_command(sources)
        with st.container(width="stretch", gap="small"):
            run = chosen_run(listed)
            if run and view.tune_panel == CURVES:
                outdated(run, sources)
                with covered_by("curves", run, *view.overlaid):
                    live_run.draw(run)
            else:
                with covered_by("trained", sources.score_run):
                    map_of_trained(sources, heads)
    if run and not run.status().active:
        with covered_by("result", run):
            after_run.draw(run, sources.score_run)


def chosen_run(listed: list[runs.Run]) -> runs.Run | None:
    """The run that is shown, with the choice between its curves and the map of what will be
    trained; None where there is none.
    """
    if not listed:
        text = NO_RUN
        if runs.list_runs("finetune"):
            text += " Runs of other models or tasks are on the Compare page."
        st.caption(text)
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run = live_run.choose(listed)
        st.segmented_control(
            "Show",
            PANELS,
            required=True,
            label_visibility="collapsed",
            **binding.bind("tune_panel"),
        )
    return run


def map_of_trained(sources: HeadSources, heads: Circuit | None):
    if sources.scores:
        trained_heads.head_map(sources.scores, heads)
    else:
        run_progress.unscored("the map and the circuit's heads need scores")


def head_sources() -> HeadSources:
    """What the heads of a run can be chosen from."""
    # first, because it ends the page with a message when the model cannot be loaded
    weights = inputs.model().fingerprint
    score_run = score_runs.score_run(("done",))
    scores = score_runs.scores_of(score_run)
    circuit = session_circuit.current(scores) if scores else None
    advice_run = command.advice_run(binding.view(), weights)
    return HeadSources(score_run, scores, circuit, advice_run)


def start(sources: HeadSources, heads: Circuit | None):
    """The primary button, and how many parameters it trains."""
    view = binding.view()
    missing = command.missing(view, sources)
    if st.button(
        "Start tuning",
        type="primary",
        disabled=bool(missing),
        icon=":material/play_arrow:",
        width="stretch",
    ):
        st.session_state.tune_next = command.start(view, sources, view.tune_name).id
        binding.put(tune_panel=CURVES)
        st.rerun()
    if missing:
        st.info(literal(missing), icon=":material/info:")
        if sources.scores and not sources.circuit:
            st.page_link("circuit/page.py", label="Choose heads", icon=":material/arrow_back:")
    else:
        with covered_by("trainable", sources.score_run):
            trained_heads.parameter_count(heads)
    n_active = sum(run.status().active for run in runs.list_runs())
    if n_active:
        running = "1 run is active" if n_active == 1 else f"{n_active} runs are active"
        st.caption(f"{running}; a new run waits in the queue of this machine.")


def as_command(sources: HeadSources):
    view = binding.view()
    if command.missing(view, sources):
        return
    file = session_circuit.write_circuit(sources.circuit) if view.what in command.BY_FILE else None
    with st.expander("The same as a command"):
        request = command.request(view, sources, file, view.tune_name)
        st.code(shell_command(request), language="shell", wrap_lines=True)


def outdated(run: runs.Run, sources: HeadSources):
    """A notice if the run trained another circuit than the current one, or had another source
    language.
    """
    request, view = needed_request(run), binding.view()
    if request.subject.language not in (None, view.source):
        st.info(
            "Out of date: this run had another source language than the current one. Start tuning"
            " again, or choose that language on Setup.",
            icon=":material/update:",
        )
        return
    trained, circuit = after_run.trained_heads(run), sources.circuit
    if (
        request.tuning.what == "circuit"
        and circuit is not None
        and trained
        and trained != circuit.heads
    ):
        st.info(
            f"Out of date: this run trained a circuit of {len(trained)} heads that is not the"
            f" current one ({len(circuit)} heads). Start tuning again, or choose those heads on the"
            " Circuit page.",
            icon=":material/update:",
        )
        st.page_link("circuit/page.py", label="Go to the circuit", icon=":material/arrow_back:")
