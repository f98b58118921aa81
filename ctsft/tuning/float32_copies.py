"""Parameters of a narrow number format (bfloat16, float16), trained as float32 copies.

A learning step is often smaller than the spacing of such a format: 1 + 0.001 is 1 in bfloat16. So
the optimiser adds its steps to float32 copies, and the model computes with their rounded values,
which are also what remains when training has ended (mixed-precision training, Micikevicius et al.,
arXiv 1710.03740).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ctsft.tuning.checkpoints import trainable_parameters


def training_dtype(dtype: torch.dtype) -> torch.dtype:
    """The format in which parameters of `dtype` are trained: float32 instead of a narrower one."""
    return torch.float32 if torch.finfo(dtype).bits < 32 else dtype


@contextmanager
def float32_copies(hf: nn.Module, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Within, those of `parameters` (trained whole) that have a narrow format are replaced by
    float32 copies, which are parameters of `hf` that require gradients; every module that owns one
    computes with its rounded values. Afterwards the rounded values are in the model.
    """
    narrow = [one for one in parameters if training_dtype(one.dtype) != one.dtype]
    if not narrow:
        yield
        return
    copies = nn.ParameterList(one.detach().to(training_dtype(one.dtype)) for one in narrow)
    copy_of = {id(one): copy for one, copy in zip(narrow, copies, strict=True)}
    owners = [
        (module, dict(module._parameters))
        for module in hf.modules()
        if any(id(one) in copy_of for one in module._parameters.values())
    ]
    hooks = []
    for module, own in owners:
        replaced = {name: one for name, one in own.items() if id(one) in copy_of}
        for name, one in replaced.items():
            del module._parameters[name]
            setattr(module, name, one.detach())
        hooks.append(module.register_forward_pre_hook(rounding_hook(replaced, copy_of)))
    hf.add_module("float32_copies", copies)
    try:
        yield
    finally:
        del hf.float32_copies
        for hook in hooks:
            hook.remove()
        for module, own in owners:
            for name in own.keys() - module._parameters.keys():
                delattr(module, name)
            module._parameters.clear()  # their order is that of the weight files
            module._parameters.update(own)
        with torch.no_grad():
            for one in narrow:
                one.copy_(copy_of[id(one)])


def rounding_hook(replaced: dict[str, nn.Parameter], copy_of: dict[int, nn.Parameter]):
    """The hook that gives a module the rounded values of its float32 copies, with gradients."""

    def set_rounded(module, args):
        for name, one in replaced.items():
            setattr(module, name, copy_of[id(one)].to(one.dtype))

    return set_rounded


class FirstValues:
    """The trainable parameters as they were, on the CPU, to count what training changed.

    dtype: of the model; its parameters are compared as the model stores them.
    """

    def __init__(self, hf: nn.Module, dtype: torch.dtype):
        self.dtype = dtype
        self.values = {name: self.stored(name, value) for name, value in trainable_parameters(hf)}

    def stored(self, name: str, value: torch.Tensor) -> torch.Tensor:
        adapter = ".lora_" in name  # stored as a factor in a format of its own
        return value.detach().to("cpu", value.dtype if adapter else self.dtype, copy=True)

    def changed(self, hf: nn.Module) -> int:
        """How many trainable parameters have another value now."""
        return sum(
            int((self.stored(name, value) != self.values[name]).sum())
            for name, value in trainable_parameters(hf)
        )
