"""LoRA beside the circuit: low-rank adapters in chosen layers, by peft (Hu et al., arXiv
2106.09685).

An adapted matrix W computes with W + scale * B A, where only A [rank, in] and B [out, rank] move
and scale = alpha / rank.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn

from ctsft.model.model import Model
from ctsft.tuning.trainable import Trainable, whole_parameters
from ctsft.utils.errors import UserError

TARGETS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Lora:
    """rank: columns of A and rows of B; alpha: scale times rank; targets: which maps of a layer;
    seed: of A's first values (B's are 0).
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
        """Names of the adapted modules; a fused projection is adapted whole."""
        found = [getattr(model.blocks[layer], name) for layer in layers for name in self.targets]
        wanted = {id(linear.module) for linear in found if linear is not None}
        modules = {
            name: module for name, module in model.hf.named_modules() if id(module) in wanted
        }
        if not modules:
            raise UserError(
                f"This model has none of the maps {', '.join(self.targets)} in the layers to adapt;"
                " choose other targets."
            )
        return modules

    def size(self, model: Model, layers: tuple[int, ...]) -> int:
        """How many numbers the adapters of these layers have."""
        return self.rank * sum(
            sum(module.weight.shape) for module in self.modules(model, layers).values()
        )


@contextmanager
def adapters(
    model: Model, moves: Trainable, lora: Lora, kept: dict[str, torch.Tensor]
) -> Iterator[nn.Module]:
    """Within, only adapters in the layers `moves.adapted` and the parameters of `moves.extra` have
    gradients; then the adapters go.

    Yields the Hugging Face model. Afterwards it is as before, and `kept` holds what `delta` adds to
    a weight of that name: the factors "<weight>:left" and "<weight>:right" (scale included), whose
    product has the weight's own shape.
    """
    hf, whole, names = model.hf, whole_parameters(model, moves), lora.modules(model, moves.adapted)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=list(names),
        fan_in_fan_out=model.blocks[0].q.transposed,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(lora.seed)
        peft = get_peft_model(hf, config)
    for parameter in whole:
        parameter.requires_grad_(True)
    try:
        yield hf
    finally:
        for name in names:
            layer = hf.get_submodule(name)
            left, right = (
                layer.lora_B["default"].weight.detach() * layer.scaling["default"],
                layer.lora_A["default"].weight.detach(),
            )
            pair = (right.T, left.T) if layer.fan_in_fan_out else (left, right)
            kept |= {
                f"{name}.weight:{side}": value.contiguous().clone()
                for side, value in zip(("left", "right"), pair, strict=True)
            }
        peft.unload()
        hf.requires_grad_(False)
        model.mark_changed()
        assert not any(isinstance(module, LoraLayer) for module in hf.modules())
