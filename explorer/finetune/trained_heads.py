"""Which heads and how many parameters the next run will train."""

import streamlit as st

from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.plots import score_maps, style
from ctsft.tuning.recipes import RECIPES
from ctsft.tuning.source_fisher import FISHER_ROWS
from ctsft.tuning.source_hold import held_bytes
from ctsft.utils import format
from ctsft.utils.units import bytes_text
from explorer.finetune import command, trained_parameters
from explorer.session import binding, inputs
from explorer.text.glossary import TERMS
from explorer.widgets import chart

MAX_NAMES = 8  # heads that a sentence lists by name


def head_map(scores: Scores, heads: Circuit | None):
    """The head map of every page, with the heads outlined that will be trained. `heads`: None while
    they are not known.
    """
    view, model = binding.view(), inputs.model()
    outlined = trained_parameters.outlined(view, model, heads)
    fig = score_maps.head_map(scores, outlined, model=model, flip=view.flip)
    if outlined.heads:
        key = f"□ {trained_text('in the circuit', view.what)}"
    elif heads is None:
        key = "heads are chosen when the run starts"
    else:
        key = "no heads will be trained"
    fig.update_annotations(selector={"name": "key"}, text=key)
    fig.for_each_trace(
        lambda trace: trace.update(text=[trained_text(text, view.what) for text in trace.text]),
        selector={"name": "heads"},
    )
    alt = trained_text(style.alt(fig), view.what)
    chart.show(fig, "tune_map", width="content", alt=alt, name="trained-heads")


def trained_text(text: str, recipe: str) -> str:
    """A text of the head map on membership in the circuit, as one on what will be trained."""
    if recipe in command.ADAPTERS:
        outside, inside = "no adapters in its layer", "in a layer with adapters"
    else:
        outside, inside = "will not be trained", "will be trained"
    return text.replace("not in the circuit", outside).replace("in the circuit", inside)


def chosen_later(what: str) -> str:
    """One sentence on a recipe whose parameters are chosen when the run starts."""
    if RECIPES[what].needs_heads:
        return "Heads are chosen when the run starts: it computes advice from its own rows."
    return "What is trained is chosen when the run starts, from the rows that it trains on."


def parameter_count(heads: Circuit | None):
    view, model = binding.view(), inputs.model()
    count = trained_parameters.count(view, model, heads)
    if count is None:
        st.markdown(f"**{chosen_later(view.what)}**")
        return
    share = count / model.n_params
    st.markdown(
        f"**{count:,}** of {model.n_params:,} parameters will be trained ({share:.2%}).",
        help=f"{TERMS['trainable']} {shared_rows(heads)}".strip(),
    )
    if command.hold(view):
        memory = bytes_text(held_bytes(count, model.dtype.itemsize))
        st.caption(
            f"Holding the source takes {memory} more memory, and first reads {FISHER_ROWS} source"
            " rows one by one.",
            help=TERMS["hold"],
        )


def shared_rows(heads: Circuit | None) -> str:
    """Which other heads' keys and values are trained too, in a sentence; "" without any."""
    sharing = trained_parameters.sharing_heads(binding.view(), inputs.model(), heads)
    if not sharing:
        return ""
    names = ", ".join(map(format.head_name, sharing[:MAX_NAMES]))
    more = " and more" if len(sharing) > MAX_NAMES else ""
    return (
        f"Keys and values are shared in groups of heads, so those of {names}{more} will be trained"
        " too."
    )
