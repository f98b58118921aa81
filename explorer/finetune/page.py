"""Fine-tune: choose what may move, start the run, watch the languages, read the outcome; or compare
ways of tuning in an experiment.
"""

import streamlit as st

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.plots import score_maps, style
from ctsft.utils import format
from explorer.finetune import after_run, command, experiment_form, form, live_run
from explorer.finetune.command import Given
from explorer.session import binding, circuit, errors, inputs, score_runs
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart, run_progress

TABS = ("One run", "Experiment")


def head_map(given: Given, choice: Circuit | None):
    """The map of every page, with what would move outlined."""
    now, model = binding.view(), inputs.model()
    shown = command.outlined(now, model, choice)
    fig = score_maps.head_map(given.scores, shown, model=model, flip=now.flip)
    key = (
        "no head would move"
        if choice is not None
        else "which heads would move is found out when the run begins"
    )
    fig.update_annotations(
        selector={"name": "key"},
        text=f"□ {would('in the circuit', now.what)}" if shown.heads else key,
    )
    fig.for_each_trace(
        lambda trace: trace.update(text=[would(text, now.what) for text in trace.text]),
        selector={"name": "heads"},
    )
    chart.show(
        fig, "tune_map", width="content", alt=would(style.alt(fig), now.what), name="what-moves"
    )


def would(text: str, what: str) -> str:
    if what in command.ADAPTERS:
        return text.replace("not in the circuit", "no adapters in its layer").replace(
            "in the circuit", "in a layer with adapters"
        )
    return text.replace("not in the circuit", "would not move").replace(
        "in the circuit", "would move"
    )


def numbers(choice: Circuit | None):
    """How many numbers would move."""
    now, model = binding.view(), inputs.model()
    count = command.count(now, model, choice)
    if count is None:
        st.markdown(
            "**Which heads move is decided when the run begins: it asks for advice on its own"
            " rows.**"
        )
        return
    st.markdown(
        f"**{count:,} of {model.n_params:,} numbers would move ({count / model.n_params:.2%}).**",
        help=TERMS["moves"],
    )
    others = command.touched(now, model, choice)
    if others:
        st.caption(
            "Keys and values are shared in groups of heads, so those of"
            f" {', '.join(map(format.head_name, others[:8]))}"
            f"{' and more' if len(others) > 8 else ''}"
            " move too.",
            help=TERMS["kv"],
        )


def start(given: Given, choice: Circuit | None, name: str):
    """The primary button, the same in the shell's words, and what else is going on."""
    now = binding.view()
    missing = command.missing(now, given)
    if missing:
        st.info(literal(missing), icon=":material/info:")
        if given.scores and not given.circuit:
            st.page_link("circuit/page.py", label="Choose heads", icon=":material/arrow_back:")
    else:
        numbers(choice)
    if st.button(
        "Start tuning", type="primary", disabled=bool(missing), icon=":material/play_arrow:"
    ):
        st.session_state.tune_next = command.start(now, given, name).id
        st.rerun()
    active = sum(run.status().active for run in runs.list_runs())
    if active:
        st.caption(
            f"{active} {'run is' if active == 1 else 'runs are'} going on; another one waits for"
            " its turn on this machine."
        )
    if not missing:
        file = command.keep_circuit(given.circuit) if now.what in command.BY_FILE else None
        with st.expander("The same from the shell"):
            st.code(
                runs.shell_command(runs.Request(argv=command.words(now, given, file, name))),
                language="shell",
                wrap_lines=True,
            )


def one_run():
    st.write(
        "Tune the chosen heads on a few labelled examples of another language, and watch what that"
        " does to the language the model knows already. Choose what may move and start; then run a"
        " control, since a result means something only beside another."
    )
    given = state_of_the_heads()
    left, right = st.columns([3, 2], gap="medium")
    with right:
        name = form.draw(inputs.task(), given.k)
    with left:
        choice = command.heads(binding.view(), given)
        if given.scores:
            head_map(given, choice)
        else:
            run_progress.unscored("the map and the circuit's heads need scores")
        start(given, choice, name)
    mine = command.listed(binding.view())
    if mine:
        st.divider()
        run = live_run.choose(mine)
        outdated(run, given)
        live_run.draw(run)
        if not run.status().active:
            after_run.draw(run)
    else:
        st.caption(
            "No run with this model and task yet: press *Start tuning*, and its curves appear here."
            + (
                " Runs of other models or tasks are on the Compare page."
                if runs.list_runs("finetune")
                else ""
            )
        )


def outdated(run: runs.Run, given: Given):
    """Says so where the run shown moved, or followed, another circuit than the one in force, or
    took its scores elsewhere.
    """
    what, now = run.request.params.get("tuning", {}).get("what"), binding.view()
    moved = after_run.chosen(run)
    if run.request.params.get("subject", {}).get("language") not in (None, now.source):
        st.info(
            "Out of date: this run kept another source language than the one chosen now. Start"
            " tuning again, or choose that language on Setup.",
            icon=":material/update:",
        )
    elif what == "circuit" and given.circuit is not None and moved and moved != given.circuit.heads:
        st.info(
            f"Out of date: this run moved a circuit of {len(moved)} heads that is not the one in"
            f" force now ({len(given.circuit)} heads). Start tuning again, or choose those heads on"
            " the Circuit page.",
            icon=":material/update:",
        )
        st.page_link("circuit/page.py", label="Go to the circuit", icon=":material/arrow_back:")


def state_of_the_heads() -> Given:
    # first: where the model is gone, that is what is to be told
    weights = inputs.model().fingerprint
    scored = score_runs.score_run(("done",))
    scores = score_runs.scores_of(scored)
    return Given(
        scored,
        scores,
        circuit.circuit(scores) if scores else None,
        command.advised(binding.view(), weights),
    )


def page():
    st.header("Fine-tune", help=TERMS["recipes"])
    tab = st.segmented_control(
        "What to do", TABS, required=True, label_visibility="collapsed", **binding.bind("tune_tab")
    )
    if tab == "Experiment":
        experiment_form.draw()
    else:
        one_run()
    st.page_link("compare/page.py", label="Next: compare the runs", icon=":material/arrow_forward:")


with errors.sentences():
    page()
