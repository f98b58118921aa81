"""What tuning changed, head by head, as a head map and a sentence. Rows are those of
`ctsft.deltas.head_changes`; no streamlit.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.plots.head_grid import Marks, Scale, head_grid
from ctsft.utils.format import head_name, number

MOST = 8  # heads named in a sentence


def values(rows: list[Mapping]) -> np.ndarray:
    """Norm of each head's change, [layer, head]."""
    heads = [row for row in rows if row["layer"] is not None]
    found = np.zeros(
        (1 + max(row["layer"] for row in heads), 1 + max(row["head"] for row in heads))
    )
    for row in heads:
        found[row["layer"], row["head"]] = row["change"]
    return found


def change_map(rows: list[Mapping], chosen: Iterable[Head], flip: bool = False) -> go.Figure:
    """The head map of every page, coloured by how much a head changed; outlined: the heads that
    were chosen to move.
    """
    chosen, of = frozenset(chosen), {(row["layer"], row["head"]): row for row in rows}
    found = values(rows)

    def hover(at: Head) -> str:
        row = of[at]
        share = f" ({row['change'] / row['of']:.2%} of its numbers' norm)" if row["of"] else ""
        beside = (
            "shares keys and values with a chosen head"
            if chosen and row["change"]
            else "moved"
            if row["change"]
            else "did not move"
        )
        return (
            f"<b>{head_name(at)}</b>  change"
            f" {number(row['change'])}{share}<br>{'chosen to move' if at in chosen else beside}"
        )

    texts = [
        [hover((layer, head)) for head in range(found.shape[1])] for layer in range(found.shape[0])
    ]
    fig = head_grid(
        found,
        Marks(chosen),
        title="Change by head",
        scale=Scale("change (norm)", sequential=True),
        hover=texts,
        flip=flip,
    )
    return fig.update_annotations(
        selector={"name": "key"}, text="□ chosen to move" if chosen else ""
    )


def said(rows: list[Mapping], chosen: Iterable[Head]) -> str:
    """Which head changed most, what changed beside the chosen ones, and the norms."""
    chosen = set(chosen)
    heads = sorted(
        (row for row in rows if row["layer"] is not None), key=lambda row: -row["change"]
    )
    norms = next(row["change"] for row in rows if row["layer"] is None)
    moved = [row for row in heads if row["change"]]
    text = f"{len(moved)} of {len(heads)} heads changed"
    if moved:
        first = moved[0]
        share = (
            f", or {first['change'] / first['of']:.1%} of its numbers' norm" if first["of"] else ""
        )
        text += (
            f", {head_name((first['layer'], first['head']))} most: {number(first['change'])}{share}"
        )
    beside = [
        head_name((row["layer"], row["head"]))
        for row in moved
        if (row["layer"], row["head"]) not in chosen
    ]
    if chosen and beside:
        text += (
            f". {', '.join(beside[:MOST])}{' and more' if len(beside) > MOST else ''} changed"
            " because keys and values are shared in groups"
        )
    return (
        f"{text}. The norms changed by {number(norms)}." if norms else f"{text}. No norm changed."
    )


def stayed(words: Mapping) -> str:
    """A rescoring (`ctsft.rescoring.rescore`) in two sentences."""
    k, kept = words["k"], len(words["stayed"])
    text = (
        f"{kept} of the {k} top heads before tuning {'is' if kept == 1 else 'are'} among the {k}"
        " top heads after it"
    )
    names = {
        key: ", ".join(head_name(tuple(head)) for head in words[key]) for key in ("left", "came")
    }
    text += f": {names['left']} left, {names['came']} came." if words["left"] else "."
    rho = words["spearman"]
    order = (
        "cannot be given: one of the two ranks nothing"
        if rho is None or rho != rho
        else f"is {number(rho)} (1: the same order, 0: no relation)"
    )
    return f"{text} The rank correlation of all heads' scores before and after {order}."
