"""Heads that are pinned to be read side by side: up to three small cards below the map."""

import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.plots import score_charts
from ctsft.utils import format
from explorer.session import binding
from explorer.text import membership
from explorer.text.markdown import literal
from explorer.widgets import chart
from explorer.widgets.run_receipts import covered_by

MOST = 3


def heads(shape: tuple[int, int]) -> list[Head]:
    """The pinned heads that a model of this shape has, in the order in which they were pinned."""
    pinned = []
    for name in binding.view().pinned:
        layer, _, head = name.partition(".")
        if layer.isdecimal() and head.isdecimal() and (int(layer), int(head)) not in pinned:
            pinned.append((int(layer), int(head)))
    return [head for head in pinned if head[0] < shape[0] and head[1] < shape[1]][:MOST]


def names(of: list[Head]) -> list[str]:
    return [f"{layer}.{head}" for layer, head in of]


def toggle(head: Head, shape: tuple[int, int]):
    """A callback: pins a head, or removes its pin; the oldest pin makes room."""
    pinned = heads(shape)
    pinned = [one for one in pinned if one != head] if head in pinned else [*pinned, head][-MOST:]
    binding.put(pinned=names(pinned))


def button(head: Head, shape: tuple[int, int]):
    is_pinned = head in heads(shape)
    st.button(
        "Unpin" if is_pinned else "Pin",
        icon=":material/keep_off:" if is_pinned else ":material/keep:",
        type="tertiary",
        key="pin-head",
        on_click=toggle,
        args=(head, shape),
        help=f"Up to {MOST} pinned heads stand side by side below the map.",
    )


def draw(scores: Scores, circuit: Circuit, run: runs.Run, notes: dict[Head, str]):
    """The cards; nothing where no head is pinned. The bars of all cards have one scale. run: of the
    scores.
    """
    shape = tuple(scores.values.shape)
    pinned = [head for head in heads(shape) if head in scores.ranking()]
    if pinned:
        with covered_by("pinned-heads", run):
            cards(scores, circuit, pinned, notes)


def cards(scores: Scores, circuit: Circuit, pinned: list[Head], notes: dict[Head, str]):
    shape = tuple(scores.values.shape)
    figures = {head: score_charts.score_bars(scores, head, title="") for head in pinned}
    limits = common_range(scores, pinned)
    for place, head in zip(st.columns(MOST, gap="medium"), pinned, strict=False):
        with place.container(border=True, key=f"pinned-{head[0]}-{head[1]}"):
            value, error = scores.values[head].item(), scores.stderr[head].item()
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(
                    f"**{format.head_name(head)}**: {format.number(value)} ±"
                    f" {format.number(error)} logits"
                )
                st.button(
                    "Unpin",
                    icon=":material/keep_off:",
                    type="tertiary",
                    key=f"unpin-{head[0]}-{head[1]}",
                    on_click=toggle,
                    args=(head, shape),
                )
            st.caption(literal(membership.sentence(scores, circuit, head)))
            if head in notes:
                st.caption(f":material/edit_note: {literal(notes[head])}")
            figure = figures[head].update_xaxes(range=limits, title_text="logits ± standard error")
            chart.plain(figure, f"pinned-bars-{head[0]}-{head[1]}")


def common_range(scores: Scores, pinned: list[Head]) -> list[float]:
    """One range for the bars of all cards, zero included, with room for the errors."""
    values = [0.0]
    for mean in scores.by_label.values():
        values += [mean[head].item() for head in pinned]
    error = max(scores.stderr[head].item() for head in pinned)
    room = 0.06 * (max(values) - min(values)) + 2 * error
    return [min(values) - room, max(values) + room]
