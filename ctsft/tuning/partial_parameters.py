"""Training some rows or columns of a parameter while the rest of it keeps its bits.

The part is a small parameter of its own, and every module that owns the whole one computes with

    old.index_copy(dim, index, part)

So the optimiser never sees what is protected. A parameter that several modules share (tied
embeddings) gets the gradients of all of them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from ctsft.tuning.computed_parameters import computed_parameters
from ctsft.tuning.float32_copies import first_value
from ctsft.tuning.trainable import Part


@contextmanager
def partial_parameters(hf: nn.Module, parts: Mapping[str, Part]) -> Iterator[None]:
    """Within, these parts are parameters of `hf` that require gradients; afterwards their values
    are in the model. Narrow formats are trained in float32, as `float32_copies` does.
    """
    parts = {name: part for name, part in parts.items() if len(part.index)}
    if not parts:
        yield
        return
    named = dict(hf.named_parameters())
    wholes = [named[name] for name in parts]
    places = [
        (part.dim, part.index.to(one.device))
        for part, one in zip(parts.values(), wholes, strict=True)
    ]
    # the Trainer decays no parameter with such a name
    keys = [f"{i}_bias" if one.ndim < 2 else str(i) for i, one in enumerate(wholes)]
    trained = nn.ParameterDict(
        (key, first_value(one.detach().index_select(*place)))
        for key, one, place in zip(keys, wholes, places, strict=True)
    )
    values = {
        one: partial(with_part, one.detach(), place, trained[key])
        for one, place, key in zip(wholes, places, keys, strict=True)
    }
    hf.add_module("partial_parameters", trained)
    try:
        with computed_parameters(hf, values):
            yield
    finally:
        del hf.partial_parameters
        with torch.no_grad():
            for one, (dim, index), key in zip(wholes, places, keys, strict=True):
                one.index_copy_(dim, index, trained[key].to(one.dtype))


def with_part(
    old: torch.Tensor, place: tuple[int, torch.Tensor], part: torch.Tensor
) -> torch.Tensor:
    """The whole parameter with the part's values in their place, in its own format."""
    dim, index = place
    return old.index_copy(dim, index, part.to(old.dtype))
