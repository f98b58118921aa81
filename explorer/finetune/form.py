"""The settings of one tuning run: the most important ones first, the others in expanders."""

import streamlit as st

from ctsft.data.task import Task
from explorer.finetune import advanced_form, command
from explorer.finetune.languages import label
from explorer.session import binding, inputs
from explorer.text.glossary import TERMS
from explorer.text.run_names import RECIPES


def draw(task: Task, k: int):
    """What is trained, on which rows. `k`: the circuit's size, which is also the size of the
    controls.
    """
    targets = [language for language in task.languages if language != binding.view().source]
    if binding.view().target not in targets:
        binding.put(target=targets[0])
    recipe(k)
    rows(task, targets)


def settings(task: Task):
    """How it is trained and measured, folded."""
    with st.expander("Training settings"):
        training()
    with st.expander("Advanced settings"):
        advanced_form.draw(task)


def recipe(k: int):
    view = binding.view()
    if view.what not in command.OFFERED:
        binding.put(what=command.OFFERED[0])
    offered = command.OFFERED
    if not view.every_way:
        offered = tuple(dict.fromkeys((*command.FIRST, view.what)))
    st.radio(
        "What to train",
        offered,
        format_func=lambda name: RECIPES[name][0],
        **binding.bind("what"),
        help=TERMS["recipes"],
    )
    st.caption(RECIPES[view.what][1].format(k=k))
    st.segmented_control(
        "Hold the source",
        list(command.HOLDS),
        required=True,
        **binding.bind(command.hold_field(view)),
        help=TERMS["hold"],
    )
    st.toggle(
        f"Show all {len(command.OFFERED)} ways",
        **binding.bind("every_way"),
        help=(
            "More controls (least relevant, random), heads by advice, adapters (LoRA), masks of"
            " other papers (SSU, FGGM), and tuning from the base model."
        ),
    )


def rows(task: Task, targets: list[str]):
    view = binding.view()
    available = inputs.rows(view.target, view.split)
    if view.pool != "all":
        available = task.pools(available)[1]
    most = max(1, len(available))
    if not 1 <= view.n <= most:
        binding.put(n=most)
    left, right = st.columns(2)
    left.selectbox(
        "Target language",
        targets,
        format_func=label,
        **binding.bind("target"),
        help=TERMS["target"],
    )
    right.number_input(
        "Labelled examples", 1, most, step=5, **binding.bind("n"), help=f"Of {most}. " + TERMS["n"]
    )


def training():
    left, right = st.columns(2)
    left.number_input(
        "Epochs", 1, 200, **binding.bind("epochs"), help="Passes over the examples. The paper: 5."
    )
    right.number_input(
        "Learning rate",
        1e-7,
        1.0,
        step=1e-4,
        format="%.1e",
        **binding.bind("lr"),
        help=(
            "Falls linearly to 0. The paper: 5e-5 for a model of 0.5 B parameters. The small"
            " bundled model needs a larger one."
        ),
    )
    left.number_input(
        "Batch (rows per step)", 1, 512, **binding.bind("batch"), help="The paper: 16."
    )
    right.number_input(
        "Seed",
        0,
        2**31 - 1,
        **binding.bind("tune_seed"),
        help=(
            "Draws the examples, their order, and the random heads. The paper: 31, 777, 2025,"
            " 12345."
        ),
    )
    st.text_input(
        "Name of the run (optional)",
        **binding.bind("tune_name"),
        help="Shown in lists and charts instead of the run's settings.",
    )
