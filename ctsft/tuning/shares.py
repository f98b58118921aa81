"""How much of a change is applied: w0 + share * (w1 - w0), for a whole delta or head by head.

Between the model before tuning and the tuned one often lies a model that keeps more of the source
and loses little of the target (WiSE-FT, Wortsman et al., arXiv 2109.01903). A head's share scales
its rows of Q and its columns of the output projection. Key/value rows belong to a group of heads:
they get the largest share of those of its heads that were trained, so that they are given back
when the last of them is.
"""

from collections.abc import Collection, Mapping

import torch

from ctsft.attribution.scores import Head
from ctsft.model.model import Model
from ctsft.tuning.trainable import LinearSlice, head_slices
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name

Share = float | Mapping[Head, float]
# {parameter: (dimension, a factor for each index of it)}
Factors = dict[str, tuple[int, torch.Tensor]]


def check_share(share: Share) -> Share:
    """The share itself; UserError for one that is not a number from 0 to 1."""
    for value in share.values() if isinstance(share, Mapping) else [share]:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UserError(
                f"A share of a delta is a number from 0 (the model before tuning) to 1 (the tuned"
                f" one), and {value!r} came."
            )
    return share


def mix(old: torch.Tensor, new: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """old + factor * (new - old), to the bit old where the factor is 0 and new where it is 1."""
    wide = torch.promote_types(old.dtype, torch.float32)
    between = old.to(wide) + factor.to(wide) * (new.to(wide) - old.to(wide))
    mixed = torch.where(factor == 0, old, between.to(old.dtype))
    return torch.where(factor == 1, new.to(old.dtype), mixed)


def head_factors(model: Model, shares: Mapping[Head, float], trained: Collection[Head]) -> Factors:
    """Factors of the parameters of these heads; 1 for what is not theirs. trained: the heads whose
    own rows were trained, which is what key/value rows go by. UserError for a head that the model
    does not have.
    """
    missing = sorted(set(shares) - set(model.heads))
    if missing:
        raise UserError(
            f"The model has no head {head_name(missing[0])}, whose share is given; it has"
            f" {model.n_layers} layers of {model.n_heads} heads."
        )
    names = {id(parameter): name for name, parameter in model.hf.named_parameters()}
    factors: Factors = {}

    def scale(part: LinearSlice, share: float):
        module = part.linear.module
        scaled = [(module.weight, part.dim)]
        if not part.columns and module.bias is not None:
            scaled.append((module.bias, 0))
        for parameter, dim in scaled:
            ones = torch.ones(parameter.shape[dim])
            factors.setdefault(names[id(parameter)], (dim, ones))[1][part.index] = share

    for (layer, head), share in shares.items():
        slices, group = head_slices(model, layer, head)
        sharing = {(layer, other) for other in model.kv_group(head)} & {*trained, (layer, head)}
        for part in slices:
            scale(part, share)
        for part in group:
            scale(part, max(shares.get(one, 1.0) for one in sharing))
    return factors


def along(factor: torch.Tensor, dim: int, like: torch.Tensor) -> torch.Tensor:
    """A vector of factors, shaped so that it scales `like` along one dimension."""
    shape = [1] * like.ndim
    shape[dim] = -1
    return factor.view(shape).to(like.device)
