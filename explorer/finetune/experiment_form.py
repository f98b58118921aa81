"""The form of an experiment: ways of tuning × labelled examples × seeds × targets."""

import streamlit as st

from ctsft.jobs.experiment_design import METHODS
from ctsft.utils.errors import UserError
from explorer.finetune import experiment_command, experiment_start
from explorer.finetune.languages import label
from explorer.finetune.row_pools import POOLS
from explorer.session import binding, errors, inputs, stored_shape, warm
from explorer.text import run_names
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal


def draw():
    st.markdown(
        "One run proves little: an experiment repeats each way of tuning, and tests differences.",
        help=(
            "It tunes in every chosen way, with several seeds and on several languages, and tests"
            " whether differences are beyond chance. It runs in the background; finished trials are"
            " always saved."
        ),
    )
    task, n_heads = inputs.task(), stored_shape.n_heads()
    others = [language for language in task.languages if language != binding.view().source]
    repair(others, n_heads)
    name_and_ways()
    left, right = st.columns(2, gap="medium")
    with left:
        comparison(others)
        learning_rates()
    with right:
        training(n_heads)
        keeping()
        with st.expander("More settings"):
            more_settings()
            saved_design()
    experiment_start.draw(task)
    results()


def results():
    """The experiments of this model and task; their tables need torch."""
    if warm.is_ready():
        from explorer.finetune import experiment_results

        experiment_results.draw()
    elif experiment_command.listed(binding.view()):
        st.caption("Experiments are shown once the libraries are loaded: seconds.")


def repair(others: list[str], n_heads: int):
    """Replace choices that the task or the model does not offer."""
    view = binding.view()
    targets = [language for language in view.design_targets if language in others]
    if not targets:
        targets = [view.target if view.target in others else others[0]]
    binding.put(
        design_methods=[method for method in view.design_methods if method in METHODS],
        design_targets=targets,
        design_k=min(view.design_k, n_heads),
        design_related=[
            language
            for language in view.design_related
            if language in others and language not in targets
        ],
    )


def name_and_ways():
    """The name, and what the experiment compares: at least four ways fit in a row."""
    left, right = st.columns([1, 3], gap="medium")
    left.text_input(
        "Name of the experiment",
        **binding.bind("design_name"),
        help="The name in lists, and of the design file.",
    )
    right.multiselect(
        "Ways of tuning",
        list(METHODS),
        format_func=run_names.method_name,
        **binding.bind("design_methods"),
        help=(
            "What is trained in each; the same choices as under One run. Compare a circuit with"
            " controls and with everything trained."
        ),
    )


def comparison(others: list[str]):
    """On which languages and rows it compares them."""
    st.multiselect(
        "Target languages",
        others,
        format_func=label,
        **binding.bind("design_targets"),
        help="The model is tuned on each of them separately.",
    )
    examples_and_seeds()
    st.multiselect(
        "Related languages",
        [name for name in others if name not in binding.view().design_targets],
        format_func=label,
        **binding.bind("design_related"),
        help="Measured before and after each trial, not tuned on.",
    )


def examples_and_seeds():
    left, right = st.columns(2)
    left.text_input(
        "Labelled examples",
        **binding.bind("design_n"),
        help="One number, or several with commas. The paper: 25, 50, 75, 100.",
    )
    right.text_input(
        "Seeds",
        **binding.bind("design_seeds"),
        help=(
            "With commas. Each seed draws other examples and another order. The paper: 31, 777,"
            " 2025, 12345. Paired differences need 6 pairs or more."
        ),
    )


def learning_rates():
    st.text_input(
        "Learning rates",
        **binding.bind("design_rates"),
        help=(
            "One for all ways, or several with commas. With several, each way gets the rate that"
            " does best on validation rows of the targets, tried with the first seed and the most"
            " examples. Test rows are used for the result only."
        ),
    )


def training(n_heads: int):
    left, right = st.columns(2)
    left.number_input(
        "Heads (k)",
        0,
        n_heads,
        **binding.bind("design_k"),
        help=(
            "Number of heads for every way that selects heads. They are scored with the settings of"
            " the Relevance page."
        ),
    )
    right.number_input(
        "Epochs",
        1,
        200,
        **binding.bind("design_epochs"),
        help="Passes over the examples. The paper: 5.",
    )
    left.number_input(
        "Batch (rows per step)", 1, 512, **binding.bind("design_batch"), help="The paper: 16."
    )
    right.number_input(
        "Weight decay",
        0.0,
        10.0,
        step=0.01,
        **binding.bind("design_decay"),
        help="Of AdamW, on the trained parameters only. The paper: 0.",
    )


def more_settings():
    left, right = st.columns(2)
    left.selectbox(
        "Target rows",
        list(POOLS),
        format_func=POOLS.get,
        **binding.bind("design_pool"),
        help=(
            "Heads are scored on pool A of the source's rows. Pool B: only target rows with other"
            " ids."
        ),
    )
    right.number_input(
        "Evaluation rows, at most",
        0,
        10**6,
        **binding.bind("design_rows"),
        help="For each language; 0: all. Fewer rows are faster and give noisier results.",
    )
    left.number_input(
        "Trials at the same time",
        1,
        64,
        **binding.bind("design_jobs"),
        help="Each runs in its own process, with its own copy of the model.",
    )
    right.selectbox(
        "Trained parameters",
        [False, True],
        **binding.bind("design_deltas"),
        format_func=lambda saved: "Save a delta per trial" if saved else "Not saved",
        help=(
            "A delta is as large as the trained parameters: with everything trained, as large as"
            " the model."
        ),
    )


def keeping():
    """How the ways that keep the source do so, and whether shares of a change are measured."""
    methods = [METHODS[name] for name in binding.view().design_methods]
    left, right = st.columns(2)
    left.number_input(
        "Hold",
        1e-3,
        1e4,
        **binding.bind("design_hold"),
        disabled=not any(method.held for method in methods),
        help="How strongly the ways named “held” hold the source. " + TERMS["hold"],
    )
    right.number_input(
        "Replayed source rows",
        0,
        10**6,
        **binding.bind("design_replay"),
        disabled=not any(method.replayed for method in methods),
        help="Labelled source rows that the way “replay” reads; 0: as many as target rows.",
    )
    st.toggle(
        "Measure shares of each change",
        **binding.bind("design_share"),
        help=(
            "Eleven shares of what each trial changed, on validation rows: the frontier then has a"
            " line for each way. It takes eleven evaluations more for a trial."
        ),
    )


def saved_design():
    st.file_uploader(
        "Open a saved design (JSON)",
        type="json",
        key="design_file",
        on_change=open_design,
        help="Fills the form from the file. The design has to be for this model and task.",
    )
    if "design_notice" in st.session_state:
        text, opened = st.session_state.design_notice
        if opened:
            st.success(literal(text))
        else:
            errors.show_error(text)


def open_design():
    """Take the fields from a design file that was uploaded."""
    file = st.session_state.design_file
    st.session_state.pop("design_notice", None)
    if file is None:
        return
    try:
        text = file.getvalue().decode(errors="replace")
        design = experiment_command.parse(text, file.name)
        binding.put(**experiment_command.form_fields(design, binding.view()))
        st.session_state.design_notice = f"Opened the design {design.name}.", True
    except UserError as error:
        st.session_state.design_notice = str(error), False
