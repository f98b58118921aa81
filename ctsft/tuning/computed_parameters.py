"""Parameters of a model that are computed again before each forward pass, from others that are
trained in their place.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

# a parameter's value, with gradients to what it is computed from
Value = Callable[[], torch.Tensor]


@contextmanager
def computed_parameters(hf: nn.Module, values: Mapping[nn.Parameter, Value]) -> Iterator[None]:
    """Within, no module of `hf` owns the parameters of `values`: each computes with what the
    function of the parameter returns. Afterwards the parameters are back, with their old values.
    """
    owners = [
        (module, dict(module._parameters))
        for module in hf.modules()
        if any(one in values for one in module._parameters.values() if one is not None)
    ]
    hooks = []
    for module, parameters in owners:
        replaced = {
            name: values[one]
            for name, one in parameters.items()
            if one is not None and one in values
        }
        for name in replaced:
            del module._parameters[name]
            setattr(module, name, parameters[name].detach())
        hooks.append(module.register_forward_pre_hook(value_hook(replaced)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, parameters in owners:
            for name in parameters.keys() - module._parameters.keys():
                delattr(module, name)
            module._parameters.clear()  # their order is that of the weight files
            module._parameters.update(parameters)


def value_hook(replaced: dict[str, Value]):
    """The hook that gives a module the values of its computed parameters."""

    def set_values(module, args):
        for name, value in replaced.items():
            setattr(module, name, value())

    return set_values
