"""How much tuning changed each head, as a head map and in sentences.

Rows are those of `ctsft.tuning.delta_comparison.head_changes`: {"layer", "head", "change", "of"},
and one with layer None for the norms.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from ctsft.plots.head_grid import Scale, head_grid
from ctsft.plots.head_marks import Marks
from ctsft.plots.inputs import require, require_circuit
from ctsft.tuning.delta import Delta
from ctsft.tuning.delta_comparison import head_changes
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name, number

MAX_NAMES = 8  # heads named in a sentence


def weight_change(
    delta: Delta | str | Path,
    model: Model,
    circuit: Circuit | None = None,
    *,
    flip: bool = False,
) -> go.Figure:
    """How much tuning changed each head: the Euclidean norm of the change of its query, key and
    value rows and output columns, [layer, head].

    `delta`: `TuneResult.delta`, or the path of a delta.safetensors. `model`: the model before
    tuning (`ctsft.load_model` again, as tuning changes a model in place). `circuit`: the heads that
    were trained, outlined. UserError for another input, or the delta or circuit of another model.
    """
    require("weight_change", model, Model, "the delta of a Model (from ctsft.load_model)")
    require("weight_change", delta, (Delta, str, Path), "a Delta or the path of one")
    marked = require_circuit("weight_change", circuit, (model.n_layers, model.n_heads))
    if isinstance(delta, Delta) and delta.about.get("base") != model.fingerprint:
        raise UserError(
            "This delta belongs to another model, or the model is tuned already; load the model it"
            " was tuned from."
        )
    return change_map(head_changes(model, delta), marked.heads, flip)


def change_norms(rows: list[Mapping]) -> np.ndarray:
    """Norm of each head's change, [layer, head]."""
    heads = {(row["layer"], row["head"]): row["change"] for row in rows if row["layer"] is not None}
    norms = np.zeros(np.max(list(heads), axis=0) + 1)
    for head, change in heads.items():
        norms[head] = change
    return norms


def change_map(
    rows: list[Mapping],
    trained: Iterable[Head],
    flip: bool = False,
    undone: Iterable[Head] = (),
) -> go.Figure:
    """The head map of every page, coloured by how much a head changed; outlined: the heads that
    were trained (none: the whole model was); crossed out: those that have their old weights back.
    """
    trained, undone = frozenset(trained), frozenset(undone)
    row_of = {(row["layer"], row["head"]): row for row in rows}
    norms = change_norms(rows)
    layers, heads = norms.shape

    def hover(head: Head) -> str:
        row = row_of[head]
        share = f" ({row['change'] / row['of']:.2%} of its weights' norm)" if row["of"] else ""
        return (
            f"<b>{head_name(head)}</b>  change {number(row['change'])}{share}"
            f"<br>{_change_reason(head, row['change'], trained)}"
        )

    fig = head_grid(
        norms,
        Marks(trained, removed=undone),
        title="Change by head",
        scale=Scale("change (norm)", sequential=True),
        hover=[[hover((layer, head)) for head in range(heads)] for layer in range(layers)],
        flip=flip,
    )
    keys = ["□ trained"] if trained else []
    if undone:
        keys.append("× old weights")
    return fig.update_annotations(selector={"name": "key"}, text="  ".join(keys))


def _change_reason(head: Head, change: float, trained: frozenset[Head]) -> str:
    if head in trained:
        return "trained"
    if not change:
        return "did not change"
    return "shares keys and values with a trained head" if trained else "changed"


def change_sentence(rows: list[Mapping], trained: Iterable[Head]) -> str:
    """Which head changed most, which heads changed without being trained, and the norms."""
    trained = set(trained)
    heads = [row for row in rows if row["layer"] is not None]
    norms = next(row["change"] for row in rows if row["layer"] is None)
    changed = sorted((row for row in heads if row["change"]), key=lambda row: -row["change"])
    text = f"{len(changed)} of {len(heads)} heads changed"
    if changed:
        most = changed[0]
        text += f", {head_name((most['layer'], most['head']))} most: {number(most['change'])}"
    if changed and changed[0]["of"]:
        text += f", or {changed[0]['change'] / changed[0]['of']:.1%} of its weights' norm"
    names = [
        head_name((row["layer"], row["head"]))
        for row in changed
        if (row["layer"], row["head"]) not in trained
    ]
    if trained and names:
        more = " and more" if len(names) > MAX_NAMES else ""
        text += (
            f". {', '.join(names[:MAX_NAMES])}{more} changed because keys and values are shared in"
            " groups"
        )
    if not norms:
        return f"{text}. No norm changed."
    return f"{text}. The norms changed by {number(norms)}."


def rescoring_sentences(rescoring: Mapping) -> str:
    """The result of a rescoring (`ctsft.jobs.rescoring`) in two sentences."""
    k, remaining = rescoring["k"], len(rescoring["stayed"])
    verb = "is" if remaining == 1 else "are"
    text = f"{remaining} of the {k} top heads before tuning {verb} among the {k} top heads after it"
    if rescoring["left"]:
        lost, new = (
            ", ".join(head_name(tuple(head)) for head in rescoring[key]) for key in ("left", "came")
        )
        text += f": {lost} left, {new} came in"
    rho = rescoring["spearman"]
    if rho is None or rho != rho:
        order = "is not defined: the heads of one of the two all have the same score"
    else:
        order = f"is {number(rho)} (1: the same order, 0: no relation)"
    return f"{text}. The rank correlation of all heads' scores before and after {order}."
