"""One tuning run: what will be trained, the settings, the start, and the runs so far."""

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


def draw():
    st.write(
        "Tune the chosen heads on a few labelled examples of another language, and see the effect"
        " on the language that the model knows already. Choose what to train and start. Then run a"
        " control: a result is meaningful only in comparison with another."
    )
    sources = head_sources()
    left, right = st.columns([3, 2], gap="medium")
    with right:
        name = form.draw(inputs.task(), sources.k)
    with left:
        heads = trained_parameters.heads(binding.view(), sources)
        if sources.scores:
            trained_heads.head_map(sources.scores, heads)
        else:
            run_progress.unscored("the map and the circuit's heads need scores")
        start(sources, heads, name)
    finished_and_active_runs(sources)


def head_sources() -> HeadSources:
    """What the heads of a run can be chosen from."""
    # first, because it ends the page with a message when the model cannot be loaded
    weights = inputs.model().fingerprint
    score_run = score_runs.score_run(("done",))
    scores = score_runs.scores_of(score_run)
    circuit = session_circuit.current(scores) if scores else None
    advice_run = command.advice_run(binding.view(), weights)
    return HeadSources(score_run, scores, circuit, advice_run)


def start(sources: HeadSources, heads: Circuit | None, name: str):
    """How many parameters will be trained, the primary button, and the same as a command."""
    view = binding.view()
    missing = command.missing(view, sources)
    if missing:
        st.info(literal(missing), icon=":material/info:")
        if sources.scores and not sources.circuit:
            st.page_link("circuit/page.py", label="Choose heads", icon=":material/arrow_back:")
    else:
        trained_heads.parameter_count(heads)
    if st.button(
        "Start tuning", type="primary", disabled=bool(missing), icon=":material/play_arrow:"
    ):
        st.session_state.tune_next = command.start(view, sources, name).id
        st.rerun()
    n_active = sum(run.status().active for run in runs.list_runs())
    if n_active:
        running = "1 run is active" if n_active == 1 else f"{n_active} runs are active"
        st.caption(f"{running}; a new run waits in the queue of this machine.")
    if not missing:
        file = command.write_circuit(sources.circuit) if view.what in command.BY_FILE else None
        with st.expander("The same as a command"):
            st.code(
                shell_command(command.request(view, sources, file, name)),
                language="shell",
                wrap_lines=True,
            )


def finished_and_active_runs(sources: HeadSources):
    """The run that is selected, with its curves and results."""
    listed = command.listed(binding.view())
    if listed:
        st.divider()
        run = live_run.choose(listed)
        outdated(run, sources)
        live_run.draw(run)
        if not run.status().active:
            after_run.draw(run)
        return
    text = "No run with this model and task yet: press *Start tuning*, and its curves appear here."
    if runs.list_runs("finetune"):
        text += " Runs of other models or tasks are on the Compare page."
    st.caption(text)


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
