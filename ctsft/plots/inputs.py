"""What the public charts check before they draw: the type of their input, and heads that fit."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ctsft.utils.errors import UserError
from ctsft.utils.format import Head, head_name

if TYPE_CHECKING:  # torch, which maps of stored scores do not wait for
    from ctsft.circuit.circuit import Circuit


def require(chart: str, value: Any, kinds: type | tuple[type, ...], expected: str) -> None:
    """UserError unless `value` is of one of `kinds`; `expected` says in words what to pass."""
    if not isinstance(value, kinds):
        raise UserError(f"{chart} draws {expected}, and this is {type(value).__name__!r}.")


def require_heads(heads: Iterable[Head], shape: tuple[int, int]) -> None:
    """UserError unless every (layer, head) lies within `shape`, (layers, heads)."""
    layers, per_layer = shape
    outside = [
        head_name(head)
        for head in sorted(heads)
        if not (0 <= head[0] < layers and 0 <= head[1] < per_layer)
    ]
    if outside:
        raise UserError(
            f"{', '.join(outside)} is not on this map of {layers} layers x {per_layer} heads;"
            " choose heads of the same model."
        )


def require_circuit(
    chart: str, circuit: "Circuit | None", shape: tuple[int, int], selected: Head | None = None
) -> "Circuit":
    """The circuit itself (an empty one for None). UserError where it, or the selected head, is of a
    model of another shape.
    """
    from ctsft.circuit.circuit import Circuit

    circuit = Circuit(frozenset()) if circuit is None else circuit
    require(chart, circuit, Circuit, "the heads of a Circuit (ctsft.select, ctsft.discover)")
    stated = circuit.model.get("n_layers", shape[0]), circuit.model.get("n_heads", shape[1])
    if stated != tuple(shape):
        raise UserError(
            f"This circuit belongs to a model of {stated[0]} layers x {stated[1]} heads, and the"
            f" map has {shape[0]} x {shape[1]}; choose a circuit of the same model."
        )
    require_heads({*circuit.heads, *circuit.removed, *([selected] if selected else [])}, shape)
    return circuit
