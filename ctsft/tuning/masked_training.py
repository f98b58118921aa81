"""Training some parameters of a model while all others keep their bits.

While `masked_training` is open, the model's matrices are frozen, and the trained slices stand
beside them as small parameters that forward hooks put in place. So the optimiser never sees a
protected parameter: weight decay, momentum and clipping cannot reach it, and gradients and
optimiser state are as small as the circuit. The parts of `Trainable.parts` are small parameters of
their own too (`partial_parameters`). What a model stores in bfloat16 or float16 is trained
in float32 (`float32_copies`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn import functional as F

from ctsft.attribution.scores import Head
from ctsft.model.model import Model
from ctsft.tuning.float32_copies import first_value, float32_copies
from ctsft.tuning.partial_parameters import partial_parameters
from ctsft.tuning.trainable import LinearSlice, Trainable, linear_slices, whole_parameters
from ctsft.utils.errors import UserError


class TrainedSlices(nn.Module):
    """The trained slices as parameters: `weights` and `biases`, keyed by the slice's number in
    `slices`. Parameters that are trained whole are left out; `whole` holds their ids.
    """

    def __init__(self, slices: list[LinearSlice], whole: set[int]):
        super().__init__()
        self.slices = slices
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        for i, part in enumerate(slices):
            if id(part.linear.module.weight) not in whole:
                self.weights[str(i)] = first_value(part.values)
            if part.bias is not None and id(part.linear.module.bias) not in whole:
                self.biases[str(i)] = first_value(part.bias)

    def parameters_of(self, i: int) -> tuple[nn.Parameter | None, nn.Parameter | None]:
        """The trained weight and bias of slice i; None where there is none."""
        return self.weights.get(str(i), None), self.biases.get(str(i), None)

    def forward_hook(self, i: int) -> Callable:
        """The hook that makes the module of slice i compute with the trained values."""
        part = self.slices[i]
        weight, bias = self.parameters_of(i)
        index = part.index.to(part.linear.module.weight.device)
        dtype = part.linear.module.weight.dtype
        start = None if weight is None else weight.detach().to(dtype, copy=True)

        def rows(module, args, output):
            new = F.linear(
                args[0],
                part.values if weight is None else weight.to(dtype),
                part.bias if bias is None else bias.to(dtype),
            )
            return output.index_copy(-1, index, new.to(output.dtype))

        def columns(module, args, output):
            return output + F.linear(args[0][..., index], weight.to(dtype) - start)

        return columns if part.columns else rows

    def write(self):
        """Write the trained values into the model."""
        for i, part in enumerate(self.slices):
            weight, bias = self.parameters_of(i)
            part.write(
                None if weight is None else weight.detach(),
                None if bias is None else bias.detach(),
            )


def as_trainable(what: Trainable | Iterable[Head] | str) -> Trainable:
    """`what` as a Trainable: itself, heads, "norms" or "full"."""
    if isinstance(what, Trainable):
        return what
    if not isinstance(what, str):
        return Trainable(frozenset(what))
    if what not in ("norms", "full"):
        raise UserError(
            f"{what!r} is not something that can be trained; give a circuit, 'norms' or 'full'."
        )
    return Trainable(everything=what == "full")


@contextmanager
def masked_training(model: Model, what: Trainable | Iterable[Head] | str) -> Iterator[nn.Module]:
    """Within, exactly the parameters of `what` (a Trainable, heads, "norms" or "full") have
    gradients; afterwards their values are in the model.

    Yields the Hugging Face model; its `parameters()` that require gradients are the trainable
    ones. UserError when there is none.
    """
    trainable = as_trainable(what)
    hf, whole = model.hf, whole_parameters(model, trainable)
    if not whole and not trainable.heads and not trainable.parts:
        raise UserError(
            "Nothing would be trained: no head, no norm and no extra parameter; name at least one."
        )
    hf.requires_grad_(False)
    for parameter in whole:
        parameter.requires_grad_(True)
    slices = [] if trainable.everything else linear_slices(model, trainable.heads)
    trained = TrainedSlices(slices, set(map(id, whole)))
    hf.add_module("trained_slices", trained)
    hooks = [
        part.linear.module.register_forward_hook(trained.forward_hook(i))
        for i, part in enumerate(slices)
        if trained.parameters_of(i) != (None, None)
    ]
    try:
        with float32_copies(hf, whole), partial_parameters(hf, trainable.parts):
            yield hf
    finally:
        for hook in hooks:
            hook.remove()
        del hf.trained_slices
        trained.write()
        hf.requires_grad_(False)
        model.mark_changed()
