"""LoRA as a comparison to the circuit: low-rank adapters in chosen layers, by peft (Hu et al.,
arXiv 2106.09685).

An adapted matrix W computes with W + scale * B A. Only A [rank, in] and B [out, rank] are trained,
and scale = alpha / rank.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from ctsft.model.model import Model
from ctsft.tuning.float32_copies import float32_copies
from ctsft.tuning.lora_settings import Lora
from ctsft.tuning.trainable import Trainable, whole_parameters

if TYPE_CHECKING:  # peft, which is imported where adapters are made
    from peft.tuners.lora import LoraLayer


@dataclass
class Adapted:
    """A model in training. `factors` is empty until the training has ended; then it holds, for each
    adapted weight, "<weight>:left" and "<weight>:right" (scale included), whose product has the
    shape of the weight and is what a delta adds to it.
    """

    hf: nn.Module
    factors: dict[str, torch.Tensor] = field(default_factory=dict)


@contextmanager
def adapters(model: Model, trainable: Trainable, lora: Lora) -> Iterator[Adapted]:
    """Within, only adapters in the layers `trainable.adapted` and the parameters of
    `trainable.extra` have gradients. Afterwards the adapters are removed, the model is as before,
    and the yielded object holds their factors.
    """
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer

    hf, whole = model.hf, whole_parameters(model, trainable)
    names = list(lora.modules(model, trainable.adapted))
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=names,
        fan_in_fan_out=model.blocks[0].q.transposed,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(lora.seed)
        peft = get_peft_model(hf, config)
    for parameter in whole:
        parameter.requires_grad_(True)
    adapted = Adapted(hf)
    try:
        with float32_copies(hf, whole):
            yield adapted
    finally:
        for name in names:
            adapted.factors |= adapter_factors(name, hf.get_submodule(name))
        peft.unload()
        hf.requires_grad_(False)
        model.mark_changed()
        assert not any(isinstance(module, LoraLayer) for module in hf.modules())


def adapter_factors(name: str, layer: "LoraLayer") -> dict[str, torch.Tensor]:
    """The two factors of one adapted module, in the order in which it stores its weight."""
    b = layer.lora_B["default"].weight.detach() * layer.scaling["default"]  # [out, rank]
    a = layer.lora_A["default"].weight.detach()  # [rank, in]
    left, right = (a.T, b.T) if layer.fan_in_fan_out else (b, a)
    return {
        f"{name}.weight:left": left.contiguous().clone(),
        f"{name}.weight:right": right.contiguous().clone(),
    }
