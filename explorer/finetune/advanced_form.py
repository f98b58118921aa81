"""The advanced settings of a tuning run: what else is trained, what is measured, the optimiser."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ctsft.data.task import Task
from ctsft.tuning.lora_settings import TARGETS
from ctsft.tuning.recipes import RECIPES
from explorer.finetune import command
from explorer.finetune.languages import label
from explorer.finetune.row_pools import POOLS
from explorer.session import binding
from explorer.text.glossary import TERMS

KV = {"group": "By group", "expand": "One per head"}
NORMS = {True: "Trained", False: "Not trained"}
PRECISION = {"full": "Full", "bf16": "bfloat16"}


def draw(task: Task):
    parameters()
    evaluation(task)
    optimiser()


def parameters():
    """The other settings of what is trained. Settings that the chosen recipe does not use are
    disabled or not shown.
    """
    view = binding.view()
    uses_slices = view.what in command.SLICES
    left, right = st.columns(2)
    left.selectbox(
        "Keys and values",
        list(KV),
        format_func=KV.get,
        **binding.bind("kv"),
        disabled=not uses_slices,
        help=TERMS["kv choice"],
    )
    right.selectbox(
        "Norms",
        list(NORMS),
        format_func=NORMS.get,
        **binding.bind("norms"),
        disabled=not uses_slices,
        help=(
            "Whether the gain and bias of every norm are trained together with the heads, as in the"
            " paper."
        ),
    )
    if view.what in command.ADAPTERS:
        adapters(left, right)
    if RECIPES[view.what].from_base:
        st.text_input(
            "Base model",
            placeholder="known for the bundled model",
            **binding.bind("base"),
            help="Hub name or folder of the model before its competence stage.",
        )


def adapters(left: DeltaGenerator, right: DeltaGenerator):
    known = [name for name in binding.view().lora_targets if name in TARGETS]
    binding.put(lora_targets=known)
    left.number_input(
        "LoRA rank",
        1,
        256,
        **binding.bind("lora_rank"),
        help="Columns of an adapter: an adapter with more columns can change more.",
    )
    right.multiselect(
        "LoRA maps",
        TARGETS,
        **binding.bind("lora_targets"),
        help=(
            "The maps of a layer that get adapters: query, key, value, output, "
            "and the MLP's gate, up and down."
        ),
    )


def evaluation(task: Task):
    """The languages and rows on which the run is measured, and the rows it is trained on."""
    splits = repair_evaluation(task)
    view = binding.view()
    st.multiselect(
        "Related languages",
        [name for name in task.languages if name not in (view.source, view.target)],
        format_func=label,
        **binding.bind("related"),
        help=TERMS["related"],
    )
    other_abilities()
    left, right = st.columns(2)
    measured_rows(left, right, splits)
    left.number_input(
        "Evaluate every",
        0,
        10**6,
        **binding.bind("eval_every"),
        help="Steps between evaluations; 0: ten evaluations in each run.",
    )
    right.selectbox(
        "Target rows",
        list(POOLS),
        format_func=POOLS.get,
        **binding.bind("pool"),
        help=(
            "Heads are scored on pool A of the source's rows. Pool B: only target rows with other"
            " ids. In a parallel corpus this excludes translations of pool A."
        ),
    )


def other_abilities():
    """Related tasks, and the perplexity of texts."""
    st.text_area(
        "Related tasks",
        height=68,
        placeholder="/path/to/topic.json\n/path/to/topic.json:english",
        **binding.bind("related_tasks"),
        help=TERMS["related task"],
    )
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    left.toggle("Perplexity", **binding.bind("perplexity"), help=TERMS["perplexity"])
    if binding.view().perplexity:
        right.text_input(
            "Text file",
            placeholder="the source rows' texts",
            **binding.bind("text_file"),
            help="A file of UTF-8 text; each line that is not empty is one text, at most 400.",
        )


def measured_rows(left: DeltaGenerator, right: DeltaGenerator, splits: list[str]):
    left.selectbox(
        "Curves measured on",
        splits,
        format_func="{} rows".format,
        **binding.bind("eval_split"),
        help="Choose settings by validation rows, and use the test rows only for the final figure.",
    )
    right.selectbox(
        "Final figure on",
        ["", *(split for split in splits if split != binding.view().eval_split)],
        format_func=lambda split: f"{split} rows" if split else "the same rows",
        **binding.bind("final_split"),
        help=(
            "Rows that are measured only before the first and after the last step. Compare shows"
            " this figure."
        ),
    )


def repair_evaluation(task: Task) -> list[str]:
    """Replace choices that the task does not offer; returns the splits that all measured languages
    have.
    """
    view = binding.view()
    others = [name for name in task.languages if name not in (view.source, view.target)]
    related = [name for name in view.related if name in others]
    binding.put(related=related)
    measured = (view.source, view.target, *related)
    splits = [
        split for split in ("valid", "test") if all(split in task.splits(name) for name in measured)
    ]
    splits = splits or ["test"]
    if view.eval_split not in splits:
        binding.put(eval_split=splits[0])
    if view.final_split not in splits or view.final_split == binding.view().eval_split:
        binding.put(final_split="")
    return splits


def optimiser():
    left, middle, right = st.columns(3)
    left.number_input(
        "Weight decay",
        0.0,
        10.0,
        step=0.01,
        **binding.bind("weight_decay"),
        help="Of AdamW, on the trained parameters only. The paper: 0.",
    )
    middle.number_input(
        "Accumulation",
        1,
        1024,
        **binding.bind("accumulate"),
        help=(
            "Gradients of this many batches are added up for one step: large steps with little"
            " memory."
        ),
    )
    right.selectbox(
        "Precision",
        list(PRECISION),
        format_func=PRECISION.get,
        **binding.bind("precision"),
        help=(
            "Of training only. bfloat16 saves time and memory on hardware that supports it, and is"
            " far slower on other CPUs."
        ),
    )
