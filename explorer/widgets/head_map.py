"""The head map of Relevance and Circuit: the scores on the page, how far they agree with the
removal of each head, and the switches of the map.
"""

from dataclasses import dataclass

import streamlit as st

from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.plots import map_axes, method_map
from ctsft.utils.format import head_name, number
from explorer.session import binding, other_scores
from explorer.session.other_scores import Removal
from explorer.text.glossary import TERMS
from explorer.widgets import chart

PREVIEW = "Preview: an estimate of removing each head (attribution patching), not of CD-T"
WEAK = 0.5  # rank correlation below which the badge warns
NAMED = 6  # heads that the explanation lists by name


@dataclass(frozen=True)
class HeadMap:
    """`key` and `name`: of the chart, and of its exported files."""

    scores: Scores
    circuit: Circuit
    model: Model
    key: str
    name: str = ""
    is_preview: bool = False


def draw(shown: HeadMap, **options):
    """`options`: of `st.plotly_chart`."""
    view, scores = binding.view(), shown.scores
    removal = other_scores.removal(scores)
    by_removal = removal is not None and view.map_scores == "removal"
    switches(scores, removal)
    other = removal and removal.scores
    coloured, compared = (other, scores) if by_removal else (scores, other)
    look = method_map.Look(
        view.head,
        view.by_layer,
        shown.model.n_heads // shown.model.n_kv_heads,
        view.flip,
        title_of(shown, removal if by_removal else None),
    )
    hatched = [one.head for one in removal.disagreements] if removal else []
    figure = method_map.method_map(coloured, shown.circuit, look, compared, hatched)
    figure = map_axes.fill(figure, *scores.values.shape)
    with st.container(key=f"map-{shown.key}"):
        chart.show(figure, shown.key, name=shown.name, **options)


def title_of(shown: HeadMap, removal: Removal | None) -> str:
    """What the colours show; "": the method of the scores."""
    if shown.is_preview:
        return PREVIEW
    if removal is None:
        return ""
    examples = len(removal.scores.examples)
    return f"Removal of each head ({removal.name.lower()}, {examples} examples)"


def switches(scores: Scores, removal: Removal | None):
    """One row: whose scores colour the map, how far the two agree, which scale, which way up."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if removal:
            names = {"method": METHODS[scores.method].label, "removal": "Removal"}
            st.segmented_control(
                "Colour the map by",
                list(names),
                format_func=names.get,
                required=True,
                label_visibility="collapsed",
                width="content",
                **binding.bind("map_scores"),
            )
            badge(removal)
        st.toggle(
            "Each layer by itself", **binding.bind("by_layer"), help=TERMS["colours by layer"]
        )
        sideways = map_axes.is_sideways(*scores.values.shape)
        end = "at the right" if sideways else "at the bottom"
        st.toggle(f"Layer 0 {end}", **binding.bind("flip"))


def badge(removal: Removal):
    """The rank correlation with removal, which says in its help which heads disagree."""
    colour = "orange" if not removal.rho >= WEAK else "green"
    st.markdown(
        f":{colour}-badge[Agreement with removal: ρ = {number(removal.rho)}]",
        width="content",
        help=f"{TERMS['agreement with removal']} Removal here: {removal.name}. {named(removal)}",
    )


def named(removal: Removal) -> str:
    if not removal.disagreements:
        return "No head disagrees much."
    names = [
        f"{head_name(one.head)} (rank {one.rank}, by removal {one.reference_rank}"
        + (", opposite sign)" if one.opposite else ")")
        for one in removal.disagreements[:NAMED]
    ]
    more = len(removal.disagreements) - len(names)
    return f"Hatched: {', '.join(names)}" + (f" and {more} more." if more > 0 else ".")
