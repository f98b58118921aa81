"""What a tuning run can train: CT-SFT and everything that it is compared with, as one table.

A recipe says how its heads are chosen (if it needs any), and which parameters of a model they make
trainable. The controls are those of CT-SFT (arXiv 2601.08146); `direct` is the paper's "direct FT":
the base model, tuned on the target without the competence stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctsft.utils.errors import UserError

if TYPE_CHECKING:
    # --help of the command line lists the recipes and does not wait for torch
    from ctsft.circuit.circuit import Circuit
    from ctsft.model.model import Model
    from ctsft.tuning.trainable import Trainable


def circuit_slices(model: Model, circuit: Circuit | None) -> dict:
    return {"heads": frozenset() if circuit is None else circuit.heads}


def everything(model: Model, circuit: Circuit | None) -> dict:
    return {"everything": True}


def but_source_columns(model: Model, circuit: Circuit | None) -> dict:
    return {"everything": True, "mask": "ssu"}


def target_rows(model: Model, circuit: Circuit | None) -> dict:
    return {"everything": True, "mask": "fggm"}


def every_layer(model: Model, circuit: Circuit | None) -> dict:
    return {"adapted": tuple(range(model.n_layers))}


def circuit_layers(model: Model, circuit: Circuit | None) -> dict:
    return {"adapted": tuple(sorted({layer for layer, _ in circuit.heads}))}


@dataclass(frozen=True)
class Recipe:
    """One way of tuning.

    description: what is trained, in a few words. fields: from a model and a circuit to fields of
    `Trainable`. rule: a selection rule of `circuit.selection.RULES`, or "advised"; None without a
    rule. from_base: tunes the model before the competence stage. from_file: the heads always come
    from a circuit file. from_source: source rows say what is trained.
    """

    description: str
    fields: Callable[[Model, Circuit | None], dict]
    rule: str | None = None
    from_base: bool = False
    from_file: bool = False
    from_source: bool = False

    @property
    def needs_heads(self) -> bool:
        return self.rule is not None or self.from_file


RECIPES: dict[str, Recipe] = {
    "circuit": Recipe("the most relevant heads, and norms", circuit_slices, "top"),
    "near_zero": Recipe("heads with scores closest to 0, and norms", circuit_slices, "near_zero"),
    "least": Recipe("the least relevant heads, and norms", circuit_slices, "least"),
    "random": Recipe("heads drawn at random, and norms", circuit_slices, "random"),
    "advised": Recipe(
        "heads that the target needs and the source can spare, and norms",
        circuit_slices,
        "advised",
    ),
    "edited": Recipe(
        "the heads of a circuit file, edited by hand, and norms", circuit_slices, from_file=True
    ),
    "norms": Recipe("norms only", circuit_slices),
    "full": Recipe("everything", everything),
    "direct": Recipe(
        "everything, from the base model without the competence stage", everything, from_base=True
    ),
    "ssu": Recipe(
        "everything without the half of each matrix's columns that the source needs most (SSU)",
        but_source_columns,
        from_source=True,
    ),
    "fggm": Recipe(
        "of each parameter the 30 % of rows that the target needs most (FGGM)", target_rows
    ),
    "lora": Recipe("LoRA adapters in every layer", every_layer),
    "lora_circuit": Recipe(
        "LoRA adapters in the layers of the most relevant heads", circuit_layers, "top"
    ),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name; UserError for an unknown one."""
    if name not in RECIPES:
        raise UserError(
            f"{name!r} is not something that can be trained; choose from {', '.join(RECIPES)}."
        )
    return RECIPES[name]


def trainable_of(
    model: Model,
    what: str,
    circuit: Circuit | None = None,
    norms: bool = True,
    extra: tuple[str, ...] = (),
) -> Trainable:
    """What the recipe `what` trains in this model.

    norms: whether norms are trained beside the heads. extra: patterns of parameter names that are
    trained too (`Trainable`). UserError for an unknown recipe, a missing circuit, or a circuit of
    another model.
    """
    recipe = find_recipe(what)
    if recipe.needs_heads and circuit is None:
        raise UserError(f"{what!r} needs heads: give a circuit, or a file with --circuit.")
    from ctsft.tuning.trainable import Trainable

    if circuit is not None:
        circuit = circuit.check(model)
    return Trainable(**recipe.fields(model, circuit), norms=norms, extra=tuple(extra), name=what)
