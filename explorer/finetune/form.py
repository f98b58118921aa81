"""The settings of one tuning run, on the Fine-tune page: the few that matter first, all others
folded.
"""

import streamlit as st

from ctsft.data.task import Task
from ctsft.tuning.lora import TARGETS
from ctsft.tuning.recipes import RECIPES
from explorer.finetune import command
from explorer.session import binding, inputs
from explorer.text import run_names
from explorer.text.glossary import TERMS

POOLS = {"all": "All", "B": "Pool B"}
KV = {"group": "By group", "expand": "One a head"}
PRECISION = {"full": "Full", "bf16": "bfloat16"}


def draw(task: Task, k: int) -> str:
    """The widgets; the name given to the run. `k`: the circuit's size, which the controls take."""
    targets = [language for language in task.languages if language != binding.view().source]
    if binding.view().target not in targets:
        binding.put(target=targets[0])
    what(k)
    rows(task, targets)
    with st.expander("Training settings"):
        name = training()
    with st.expander("Advanced settings"):
        moves()
        measured(task)
        optimiser()
    return name


def what(k: int):
    now = binding.view()
    offered = command.OFFERED if now.every_way else tuple(dict.fromkeys((*command.FIRST, now.what)))
    st.radio(
        "What moves",
        offered,
        format_func=lambda one: run_names.RECIPES[one][0],
        captions=[run_names.RECIPES[one][1].format(k=k) for one in offered],
        **binding.bind("what"),
        help=TERMS["recipes"],
    )
    st.toggle(
        f"Show all {len(command.OFFERED)} ways",
        **binding.bind("every_way"),
        help=(
            "Further controls (least relevant, random), heads by advice, adapters (LoRA), and"
            " tuning from the base model."
        ),
    )


def rows(task: Task, targets: list[str]):
    now = binding.view()
    own = inputs.rows(now.target, now.split)
    most = max(1, len(own if now.pool == "all" else task.pools(own)[1]))
    if not 1 <= now.n <= most:
        binding.put(n=most)
    left, right = st.columns(2)
    left.selectbox(
        "Target language",
        targets,
        format_func=spoken,
        **binding.bind("target"),
        help=TERMS["target"],
    )
    right.number_input(
        "Labelled examples", 1, most, step=5, **binding.bind("n"), help=f"Of {most}. " + TERMS["n"]
    )


def training() -> str:
    one, two = st.columns(2)
    one.number_input(
        "Epochs", 1, 200, **binding.bind("epochs"), help="Passes over the examples. The paper: 5."
    )
    two.number_input(
        "Learning rate",
        1e-7,
        1.0,
        step=1e-4,
        format="%.1e",
        **binding.bind("lr"),
        help=(
            "Falls linearly to 0. The paper: 5e-5 for a model of 0.5 B parameters; the small"
            " bundled one needs more."
        ),
    )
    one.number_input("Batch (rows a step)", 1, 512, **binding.bind("batch"), help="The paper: 16.")
    two.number_input(
        "Seed",
        0,
        2**31 - 1,
        **binding.bind("tune_seed"),
        help=(
            "Draws the examples, their order, and the random heads. The paper: 31, 777, 2025,"
            " 12345."
        ),
    )
    return st.text_input(
        "Name of the run (optional)",
        key="tune_name",
        help="Shown in the lists and charts instead of its settings.",
    )


def moves():
    """What else decides which numbers move; settings that the chosen way does not read are greyed
    out or not there.
    """
    now = binding.view()
    slices, (one, two) = now.what in command.SLICES, st.columns(2)
    one.selectbox(
        "Keys and values",
        list(KV),
        format_func=KV.get,
        **binding.bind("kv"),
        disabled=not slices,
        help=TERMS["kv choice"],
    )
    two.selectbox(
        "Norms",
        [True, False],
        format_func=lambda on: "Move too" if on else "Stay",
        **binding.bind("norms"),
        disabled=not slices,
        help="Whether the gain and bias of every norm move beside the heads, as in the paper.",
    )
    if now.what in command.ADAPTERS:
        one.number_input(
            "LoRA rank",
            1,
            256,
            **binding.bind("lora_rank"),
            help="Columns of an adapter: more can change more.",
        )
        two.multiselect(
            "LoRA maps",
            TARGETS,
            **binding.bind("lora_targets"),
            help=(
                "The maps of a layer that get adapters: query, key, value, output, "
                "and the MLP's gate, up and down."
            ),
        )
    if RECIPES[now.what].from_base:
        st.text_input(
            "Base model",
            placeholder="known for the bundled model",
            **binding.bind("base"),
            help="Hub name or folder of the model as it was before its competence stage.",
        )


def measured(task: Task):
    now = binding.view()
    others = [language for language in task.languages if language not in (now.source, now.target)]
    binding.put(related=[language for language in now.related if language in others])
    splits = [
        split
        for split in ("test", "valid")
        if all(
            split in task.splits(name) for name in (now.source, now.target, *binding.view().related)
        )
    ]
    splits = splits or ["test"]
    if now.eval_split not in splits:
        binding.put(eval_split=splits[0])
    finals = ["", *(split for split in splits if split != binding.view().eval_split)]
    if now.final_split not in finals:
        binding.put(final_split="")
    st.multiselect(
        "Related languages",
        others,
        format_func=spoken,
        **binding.bind("related"),
        help=TERMS["related"],
    )
    one, two = st.columns(2)
    one.selectbox(
        "Curves measured on",
        splits,
        format_func="{} rows".format,
        **binding.bind("eval_split"),
        help="Choose settings by validation rows, and keep the test rows for the final figure.",
    )
    two.selectbox(
        "Final figure on",
        finals,
        format_func=lambda split: f"{split} rows" if split else "the same rows",
        **binding.bind("final_split"),
        help=(
            "Rows that are measured only before the first and after the last step; Compare shows"
            " that figure."
        ),
    )
    one.number_input(
        "Evaluate every",
        0,
        10**6,
        **binding.bind("eval_every"),
        help="Steps between evaluations; 0: ten evaluations in a run.",
    )
    two.selectbox(
        "Target rows",
        list(POOLS),
        format_func=POOLS.get,
        **binding.bind("pool"),
        help=(
            "Heads are found on pool A of the source's rows. Pool B: only target rows whose ids are"
            " not among those; in a parallel corpus that keeps translations of them out."
        ),
    )


def optimiser():
    one, two, three = st.columns(3)
    one.number_input(
        "Weight decay",
        0.0,
        10.0,
        step=0.01,
        **binding.bind("weight_decay"),
        help="AdamW's, on what moves only. The paper: 0.",
    )
    two.number_input(
        "Batches a step",
        1,
        1024,
        **binding.bind("accumulate"),
        help="Gradients of that many batches make one step: large steps where memory is small.",
    )
    three.selectbox(
        "Precision",
        list(PRECISION),
        format_func=PRECISION.get,
        **binding.bind("precision"),
        help=(
            "Of training only. bfloat16 saves time and memory on hardware that has it, and is far"
            " slower on a CPU that has not."
        ),
    )


def spoken(language: str) -> str:
    return language.replace("_", " ").capitalize()
