"""What can move in a tuning run: CT-SFT and all that it is compared with, as one table.

A recipe says how its heads are picked (none: it needs no scores), and what of `moving.Moves` they
become. The controls are those of CT-SFT (arXiv 2601.08146); `direct` is its "direct FT": the base
model, tuned on the target without the competence stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctsft.utils.errors import UserError

if TYPE_CHECKING:
    # the shell's --help lists recipes and does not wait for torch
    from ctsft.circuit.circuit import Circuit
    from ctsft.model.model import Model
    from ctsft.tuning.trainable import Moves


def slices(model: Model, circuit: Circuit | None) -> dict:
    return {"heads": frozenset() if circuit is None else circuit.heads}


def everything(model: Model, circuit: Circuit | None) -> dict:
    return {"everything": True}


def every_layer(model: Model, circuit: Circuit | None) -> dict:
    return {"adapted": tuple(range(model.n_layers))}


def circuit_layers(model: Model, circuit: Circuit | None) -> dict:
    return {"adapted": tuple(sorted({layer for layer, _ in circuit.heads}))}


@dataclass(frozen=True)
class Recipe:
    """says: what moves, in a few words. moves: from a model and a circuit to fields of
    `moving.Moves`. rule: of `circuit.RULES`, or "advised" (`advise`); None without heads.
    `base`: on the model before the competence stage. `file`: heads always come from a file.
    """

    says: str
    moves: Callable[[Model, Circuit | None], dict]
    rule: str | None = None
    base: bool = False
    file: bool = False

    @property
    def heads(self) -> bool:
        """Whether it needs a circuit."""
        return self.rule is not None or self.file


RECIPES: dict[str, Recipe] = {
    "circuit": Recipe("the most relevant heads, and norms", slices, "top"),
    "near_zero": Recipe("heads with scores closest to 0, and norms", slices, "near_zero"),
    "least": Recipe("the least relevant heads, and norms", slices, "least"),
    "random": Recipe("heads drawn at random, and norms", slices, "random"),
    "advised": Recipe(
        "heads that the target asks for and the source can spare, and norms", slices, "advised"
    ),
    "edited": Recipe("the heads of a circuit file, edited by hand, and norms", slices, file=True),
    "norms": Recipe("norms only", slices),
    "full": Recipe("everything", everything),
    "direct": Recipe(
        "everything, from the base model without the competence stage", everything, base=True
    ),
    "lora": Recipe("LoRA adapters in every layer", every_layer),
    "lora_circuit": Recipe(
        "LoRA adapters in the layers of the most relevant heads", circuit_layers, "top"
    ),
}


def recipe(name: str) -> Recipe:
    """UserError for an unknown name."""
    if name not in RECIPES:
        raise UserError(
            f"{name!r} is not something that can move; choose from {', '.join(RECIPES)}."
        )
    return RECIPES[name]


def moves_of(
    model: Model,
    what: str,
    circuit: Circuit | None = None,
    norms: bool = True,
    extra: tuple[str, ...] = (),
) -> Moves:
    """What a recipe moves in this model. UserError for an unknown recipe, a missing circuit or one
    of another model.

    norms: whether they move beside the heads; extra: patterns of parameter names that move too (see
    `moving.Moves`).
    """
    found = recipe(what)
    if found.heads and circuit is None:
        raise UserError(f"{what!r} needs heads: give a circuit, or a file with --circuit.")
    from ctsft.tuning.trainable import Moves

    return Moves(
        **found.moves(model, None if circuit is None else circuit.check(model)),
        norms=norms,
        extra=tuple(extra),
        name=what,
    )
