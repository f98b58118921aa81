"""The form of an experiment: ways of tuning x labelled examples x seeds x targets, and what that
would take before it starts.
"""

import streamlit as st

from ctsft import runs
from ctsft.jobs.experiment_design import Design
from ctsft.utils.errors import UserError
from ctsft.utils.units import duration_text
from explorer.finetune import experiment_command, experiment_results
from explorer.finetune.form import POOLS, spoken
from explorer.session import binding, inputs
from explorer.text import run_names
from explorer.text.markdown import literal


def draw():
    st.write(
        "One run with one seed proves little. An experiment tunes in every chosen way, with several"
        " seeds, on several languages, and tells a difference from chance. It runs by itself;"
        " finished cells are kept whatever happens."
    )
    task, model = inputs.task(), inputs.model()
    now = binding.view()
    others = [language for language in task.languages if language != now.source]
    targets = [language for language in now.design_targets if language in others] or [
        now.target if now.target in others else others[0]
    ]
    binding.put(
        design_targets=targets,
        design_k=min(now.design_k, len(model.heads)),
        design_related=[
            language
            for language in now.design_related
            if language in others and language not in targets
        ],
    )
    left, right = st.columns(2, gap="medium")
    with left:
        compared(others)
    with right:
        setting(len(model.heads))
    begin(task)
    experiment_results.draw()


def compared(others: list[str]):
    now = binding.view()
    st.text_input(
        "Name of the experiment",
        **binding.bind("design_name"),
        help="Of the experiment in lists, and of its design file.",
    )
    st.multiselect(
        "Ways of tuning",
        experiment_command.METHODS,
        format_func=lambda one: run_names.RECIPES[one][0],
        **binding.bind("design_methods"),
        help=(
            "What moves in each: those of the One run tab. Controls and everything belong beside a"
            " circuit."
        ),
    )
    st.multiselect(
        "Target languages",
        others,
        format_func=spoken,
        **binding.bind("design_targets"),
        help="Each is tuned on by itself.",
    )
    one, two = st.columns(2)
    one.text_input(
        "Labelled examples",
        **binding.bind("design_n"),
        help="One number or several with commas. The paper: 25, 50, 75, 100.",
    )
    two.text_input(
        "Seeds",
        **binding.bind("design_seeds"),
        help=(
            "With commas. Each draws other examples and another order. The paper: 31, 777, 2025, "
            "12345; paired differences want 6 pairs or more."
        ),
    )
    st.multiselect(
        "Related languages",
        [name for name in others if name not in now.design_targets],
        format_func=spoken,
        **binding.bind("design_related"),
        help="Measured before and after each cell, not tuned on.",
    )


def setting(n_heads: int):
    one, two = st.columns(2)
    one.number_input(
        "Heads (k)",
        0,
        n_heads,
        **binding.bind("design_k"),
        help=(
            "Of every way that picks heads; they are scored with the settings of the Relevance"
            " page."
        ),
    )
    two.number_input(
        "Epochs",
        1,
        200,
        **binding.bind("design_epochs"),
        help="Passes over the examples. The paper: 5.",
    )
    st.text_input(
        "Learning rates",
        **binding.bind("design_rates"),
        help=(
            "One for all ways; or several with commas: each way then gets the one that does best on"
            " validation rows of the targets, tried with the first seed and the most examples. Test"
            " rows are for the result only."
        ),
    )
    one.number_input(
        "Batch (rows a step)", 1, 512, **binding.bind("design_batch"), help="The paper: 16."
    )
    two.number_input(
        "Weight decay",
        0.0,
        10.0,
        step=0.01,
        **binding.bind("design_decay"),
        help="AdamW's, on what moves only. The paper: 0.",
    )
    with st.expander("More settings"):
        a, b = st.columns(2)
        a.selectbox(
            "Target rows",
            list(POOLS),
            format_func=POOLS.get,
            **binding.bind("design_pool"),
            help=(
                "Heads are found on pool A of the source's rows. Pool B: only target rows whose ids"
                " are not among those."
            ),
        )
        b.number_input(
            "Evaluation rows, at most",
            0,
            10**6,
            **binding.bind("design_rows"),
            help="Of each language; 0: all. Fewer are faster and noisier.",
        )
        a.number_input(
            "Cells at a time",
            1,
            64,
            **binding.bind("design_jobs"),
            help="Each in a process of its own, with its own copy of the model.",
        )
        b.selectbox(
            "Keep what moved",
            [False, True],
            **binding.bind("design_deltas"),
            format_func=lambda on: "A delta a cell" if on else "Figures only",
            help="A delta is as large as what moved: the whole model, for everything.",
        )
        st.file_uploader(
            "Open a saved design (JSON)",
            type="json",
            key="design_file",
            on_change=opened,
            help="Fills the form with what the file says; it has to be of this model and task.",
        )
        if "design_told" in st.session_state:
            text, good = st.session_state.design_told
            (st.success if good else st.error)(literal(text))


def opened():
    """Take the fields of a design that was dropped."""
    file = st.session_state.design_file
    st.session_state.pop("design_told", None)
    if file is not None:
        try:
            found = experiment_command.parse(file.getvalue().decode(errors="replace"), file.name)
            binding.put(**experiment_command.fields(found, binding.view()))
            st.session_state.design_told = f"Opened the design {found.name}.", True
        except UserError as error:
            st.session_state.design_told = str(error), False


def begin(task):
    """How large it is, how long it may take, and the primary button."""
    now = binding.view()
    try:
        found = experiment_command.room(
            experiment_command.design(now), lambda target: rows(task, target)
        )
    except UserError as error:
        st.info(literal(str(error)), icon=":material/info:")
        st.button("Start experiment", type="primary", disabled=True, icon=":material/play_arrow:")
        return
    st.markdown(size(found))
    pace = experiment_command.measured(now)
    expected = experiment_command.seconds(found, pace, now.design_jobs)
    st.caption(
        "How long it will take is not known: no run of this model and task was measured here yet."
        " Tune once under One run to know."
        if expected is None
        else (
            f"**About {duration_text(expected)}** at the pace of {len(pace)} finished"
            f" {'run' if len(pace) == 1 else 'runs'} of this model and task on this machine;"
            " scoring the heads comes on top."
        )
    )
    command = experiment_command.words(
        found, f"{experiment_command.file_name(found)}.json", now.data_dir, now.design_jobs
    )
    with st.container(horizontal=True):
        if st.button("Start experiment", type="primary", icon=":material/play_arrow:"):
            st.session_state.experiment_next = experiment_command.start(now, found).id
            st.rerun()
        st.download_button(
            "Save design",
            lambda: found.model_dump_json(indent=1),
            f"{experiment_command.file_name(found)}.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
            help="The file that `python -m ctsft experiment` takes.",
        )
    with st.expander("The same from the shell, with the saved design"):
        st.code(runs.shell_command(runs.Request(argv=command)), language="shell", wrap_lines=True)


def rows(task, target: str) -> int:
    own = inputs.rows(target, "train")
    return len(own if binding.view().design_pool == "all" else task.pools(own)[1])


def size(found: Design) -> str:
    grid = len(found.grid())
    parts = [
        f"{len(values)} {word}{'' if len(values) == 1 else 's'}"
        for values, word in (
            (found.methods, "way"),
            (found.targets, "target"),
            (found.n, "size"),
            (found.seeds, "seed"),
        )
    ]
    text = f"**{found.n_trials - grid} cells**: {' × '.join(parts)}"
    return (
        f"{text}. **{grid} more** choose the learning rates on validation rows first."
        if grid
        else f"{text}."
    )
