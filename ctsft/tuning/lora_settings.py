"""The settings of LoRA adapters. Requests and pages read them without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctsft.utils.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from ctsft.model.model import Model

TARGETS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Lora:
    """Settings of the adapters.

    rank: rows of A and columns of B. alpha: scale times rank. targets: which maps of a layer are
    adapted. seed: of A's first values (B's are 0). UserError for an unknown or missing target.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("q", "v")
    seed: int = 0

    def __post_init__(self):
        for name in self.targets or ("",):
            if name not in TARGETS:
                raise UserError(
                    f"{name!r} is not a map that LoRA can adapt; choose from {', '.join(TARGETS)}."
                )

    def modules(self, model: Model, layers: tuple[int, ...]) -> dict[str, nn.Module]:
        """The adapted modules by name; a fused projection is adapted whole. UserError when the
        model has none of the targets.
        """
        maps = [getattr(model.blocks[layer], name) for layer in layers for name in self.targets]
        ids = {id(linear.module) for linear in maps if linear is not None}
        modules = {name: module for name, module in model.hf.named_modules() if id(module) in ids}
        if not modules:
            raise UserError(
                f"This model has none of the maps {', '.join(self.targets)} in the layers to adapt;"
                " choose other targets."
            )
        return modules

    def size(self, model: Model, layers: tuple[int, ...]) -> int:
        """How many parameters the adapters of these layers have."""
        modules = self.modules(model, layers).values()
        return self.rank * sum(sum(module.weight.shape) for module in modules)
