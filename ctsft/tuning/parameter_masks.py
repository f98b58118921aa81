"""Which part of every parameter a run trains, chosen from rows before its first step.

    ssu    source-shielded updates (Yamaguchi et al., arXiv 2512.04844), from source rows. For each
           linear map of a block: s_ij = |W_ij| * ||x_j||, where ||x_j|| is the norm of input j over
           all real tokens (Wanda, arXiv 2306.11695), and S_j = sum over i of s_ij. The half of the
           columns with the largest S_j is frozen. All else is trained whole.
    fggm   Fisher-guided gradient masks (Tan et al., arXiv 2601.18261), from the target rows that
           are trained on. F as in `source_fisher`, summed over the inputs of each output feature
           (a matrix's rows; a vector's numbers are taken one by one). Of each parameter what is
           above the 0.7-quantile of its F is trained, and nothing else.

Both freeze a fixed set before training. Where the papers' descriptions leave something open, it was
chosen here: SSU trains norms and biases whole, and of equal columns the first ones are frozen;
FGGM's threshold is of each parameter by itself, and the rows of embeddings are those of its tokens.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, Field
from safetensors.torch import save_file
from transformers.pytorch_utils import Conv1D

from ctsft.data.task import Example, Task, balanced_sample
from ctsft.model.architecture import Linear
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.model.model import Model
from ctsft.tuning.source_fisher import Encoded, Progress, squared_gradients
from ctsft.tuning.trainable import Part, Trainable
from ctsft.utils import distributed
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError
from ctsft.utils.tensor_files import TensorFile

FROZEN_COLUMNS = 0.5  # of each matrix, by SSU
FROZEN_QUANTILE = 0.7  # of each parameter's Fisher information, by FGGM
SHIELD_ROWS = 500  # source rows that SSU reads, at most, as in the paper
PARTS_FILE = "parts.safetensors"  # beside a run's checkpoints

Parts = dict[str, Part]


@dataclass(frozen=True)
class Mask:
    """rows: which rows it is chosen from. choose: the parts of a model's parameters."""

    rows: Literal["source", "target"]
    choose: Callable[[Model, Encoded, Progress | None], Parts]


def block_linears(model: Model) -> dict[str, Linear]:
    """The linear maps of all blocks by the names of their weights, each module once and whole."""
    names = {id(value): name for name, value in model.hf.named_parameters()}
    linears = {}
    for block in model.blocks:
        for one in (block.q, block.k, block.v, block.o, block.gate, block.up, block.down):
            if one is not None:
                linears[names[id(one.module.weight)]] = Linear(one.module)
    return linears


@torch.no_grad()
def input_squares(
    model: Model, linears: dict[str, Linear], rows: Encoded, progress: Progress | None = None
) -> dict[str, torch.Tensor]:
    """{name of a weight: sum of x_j ** 2 over all tokens of the rows, [in], float64}. One text at a
    time, so that there is no padding.
    """
    sums = {
        name: torch.zeros(one.weight.shape[1], dtype=torch.float64, device=one.weight.device)
        for name, one in linears.items()
    }

    def adding(sum_: torch.Tensor):
        def hook(module, args):
            sum_.add_(args[0].double().square().flatten(0, -2).sum(0))

        return hook

    hooks = [
        one.module.register_forward_pre_hook(adding(sums[name])) for name, one in linears.items()
    ]
    share = distributed.local_share(rows)
    try:
        for done, (ids, _) in enumerate(share, 1):
            batch = pad([ids], model.device, reads_first=model.architecture.reads_first)
            readout_logits(model.hf, batch)
            if progress:
                progress(done, len(share))
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: distributed.sum_over_processes(value, model.device).to(value.device)
        for name, value in sums.items()
    }


def shielded_columns(model: Model, rows: Encoded, progress: Progress | None = None) -> Parts:
    """SSU: the columns of each linear map that are trained."""
    linears = block_linears(model)
    squares = input_squares(model, linears, rows, progress)
    parts = {}
    for name, linear in linears.items():
        weight = linear.weight.detach().double()  # [out, in]
        scores = weight.abs().sum(0) * squares[name].sqrt()  # [in]
        frozen = int(FROZEN_COLUMNS * len(scores))
        trained = scores.argsort(descending=True, stable=True)[frozen:].sort().values
        parts[name] = Part(int(not linear.transposed), trained.cpu())
    return parts


def shielded_count(model: Model) -> int:
    """How many parameters SSU freezes."""
    shapes = [one.weight.shape for one in block_linears(model).values()]  # [out, in]
    return sum(outputs * int(FROZEN_COLUMNS * inputs) for outputs, inputs in shapes)


def informed_rows(model: Model, rows: Encoded, progress: Progress | None = None) -> Parts:
    """FGGM: the rows (output features) of each parameter that are trained. UserError where no
    information is above its threshold.
    """
    hf = model.hf.requires_grad_(True)
    try:
        information = squared_gradients(model, hf, rows, progress)
    finally:
        hf.requires_grad_(False)
    parts = {}
    transposed = {id(one.weight) for one in hf.modules() if isinstance(one, Conv1D)}
    for name, value in hf.named_parameters():
        dim = int(id(value) in transposed)
        parts[name] = Part(dim, above_quantile(information[name].double(), dim))
    if not any(len(part.index) for part in parts.values()):
        raise UserError(
            f"The Fisher information of the {len(rows)} training rows is the same everywhere, so no"
            " parameter can be chosen by it; give other rows, or train something else."
        )
    return parts


def above_quantile(information: torch.Tensor, dim: int) -> torch.Tensor:
    """The indices along `dim` whose summed information is above the quantile."""
    others = [other for other in range(information.ndim) if other != dim]
    scores = torch.atleast_1d(information.sum(others) if others else information)
    rising, place = scores.sort().values, FROZEN_QUANTILE * (len(scores) - 1)
    low, high = rising[math.floor(place)], rising[math.ceil(place)]
    threshold = low.lerp(high, place % 1)  # torch.quantile takes 16 million numbers at most
    return (scores > threshold).nonzero().flatten().cpu()


MASKS: dict[str, Mask] = {
    "ssu": Mask("source", shielded_columns),
    "fggm": Mask("target", informed_rows),
}


def mask_rows(
    task: Task, mask: str, train: list[Example], source: list[Example] | None
) -> list[Example]:
    """The rows that a mask is chosen from: the training rows, or source rows with equal numbers per
    label. UserError where there are none.
    """
    if MASKS[mask].rows == "target":
        return train
    if not source:
        raise UserError(
            f"{mask!r} chooses what is trained from labelled rows of the source language, and there"
            " are none; give them with source=..., or train something else."
        )
    return balanced_sample(source, min(SHIELD_ROWS, len(source)), task.labels)


def with_parts(
    model: Model, trainable: Trainable, rows: Encoded, progress: Progress | None = None
) -> Trainable:
    """The trainable with the parts that its mask chooses from these rows. The model is as before
    tuning, and stays so.
    """
    training = model.hf.training
    model.hf.eval()
    parts = MASKS[trainable.mask].choose(model, rows, progress)
    model.hf.train(training)
    return replace(trainable, parts=parts)


class PartsFile(BaseModel):
    """The description in a file of parts; the indices are its tensors, by parameter."""

    dims: dict[str, Annotated[int, Field(ge=0, le=1)]]


def save_parts(parts: Mapping[str, Part], path: Path):
    """Write the parts, so that a resumed run trains the same ones."""
    described = PartsFile(dims={name: part.dim for name, part in parts.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, "the chosen parameters") as file:
        indices = {name: part.index.contiguous() for name, part in parts.items()}
        save_file(indices, file, {"parts": described.model_dump_json()})


def load_parts(path: Path) -> Parts:
    """The parts that `save_parts` wrote. UserError for another file."""
    file = TensorFile(path, "The file of chosen parameters", "remove it and start the run again")
    described, tensors = file.read("parts", PartsFile)
    file.need_names(tensors, list(described.dims))
    return {name: Part(dim, tensors[name].long()) for name, dim in described.dims.items()}
