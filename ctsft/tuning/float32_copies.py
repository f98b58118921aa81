"""Parameters of a narrow number format (bfloat16, float16), trained as float32 copies.

A learning step is often smaller than the spacing of such a format: 1 + 0.001 is 1 in bfloat16. So
the optimiser adds its steps to float32 copies, and the model computes with their rounded values,
which are also what remains when training has ended (mixed-precision training, Micikevicius et al.,
arXiv 1710.03740).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from ctsft.tuning.checkpoints import trainable_parameters
from ctsft.tuning.computed_parameters import computed_parameters


def training_dtype(dtype: torch.dtype) -> torch.dtype:
    """The format in which parameters of `dtype` are trained: float32 instead of a narrower one."""
    return torch.float32 if torch.finfo(dtype).bits < 32 else dtype


def first_value(values: torch.Tensor) -> torch.Tensor:
    """A copy in the format that is trained."""
    return values.detach().to(training_dtype(values.dtype), copy=True)


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
    # the Trainer decays no parameter with the name of a bias, as it decays no norm of a model that
    # is trained without copies
    keys = [f"{i}_bias" if one.ndim < 2 else str(i) for i, one in enumerate(narrow)]
    copies = nn.ParameterDict(
        (key, one.detach().to(training_dtype(one.dtype)))
        for key, one in zip(keys, narrow, strict=True)
    )
    rounded = {
        one: partial(copies[key].to, one.dtype) for key, one in zip(keys, narrow, strict=True)
    }
    hf.add_module("float32_copies", copies)
    try:
        with computed_parameters(hf, rounded):
            yield
    finally:
        del hf.float32_copies
        with torch.no_grad():
            for key, one in zip(keys, narrow, strict=True):
                one.copy_(copies[key])


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
