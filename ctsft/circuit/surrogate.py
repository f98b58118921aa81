"""A surrogate of faithfulness: predicts in a millisecond what measuring a circuit would give, with
an interval, from circuits that were measured before.

What is predicted are the labels' logits of every row (`mask_kernel`: a Gaussian process over sets
of heads); accuracy, margin and faithfulness follow from them.

What the predictions of circuits that a fit did not see were off by gives the interval, and the
accuracy that is to be expected where rows are close (`held_out_sets`). By accuracy an interval ends
at whole rows.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save_file

from ctsft.circuit.held_out_sets import FEWEST, HeldOutSets, hold_out
from ctsft.circuit.kernel_fit import fit_process
from ctsft.circuit.mask_kernel import Kernel, Process
from ctsft.circuit.measured_sets import MeasuredSets
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError
from ctsft.utils.format import Head
from ctsft.utils.tensor_files import TensorFile


@dataclass(frozen=True)
class Prediction:
    """Predicted faithfulness, and the interval that holds the measured one with `CONFIDENCE`."""

    value: float
    low: float
    high: float
    measured: bool = False  # this very circuit was measured


@dataclass(frozen=True)
class FaithfulnessSurrogate:
    """Predicts the faithfulness of any set of heads of one model on one task's rows.

    `held_out`: circuits that fits did not see. `about`: the model, the task and the rows.
    """

    sets: MeasuredSets
    process: Process
    held_out: HeldOutSets
    about: dict = field(default_factory=dict)

    @classmethod
    def fit(cls, sets: MeasuredSets, about: Mapping | None = None) -> "FaithfulnessSurrogate":
        """Fit to measured sets. UserError for too few of them."""
        if len(sets.masks) < FEWEST:
            raise UserError(
                f"{len(sets.masks)} measured circuits are too few to predict faithfulness from;"
                f" measure at least {FEWEST}."
            )
        process = fit_process(sets.masks, sets.outputs)
        return cls(sets, process, hold_out(sets), dict(about or {}))

    @property
    def measures(self) -> list[str]:
        """Those that are defined."""
        return list(self.held_out.calibration)

    def mask(self, heads: Iterable[Head]) -> np.ndarray:
        """[head] bool, layer after layer. UserError for a head that the model does not have."""
        layers, per_layer = self.sets.shape
        mask = np.zeros((layers, per_layer), bool)
        for layer, head in heads:
            if not (0 <= layer < layers and 0 <= head < per_layer):
                raise UserError(
                    f"The circuit has the head L{layer}.H{head}, and the predictions are of a"
                    f" model of {layers} layers with {per_layer} heads; use a circuit of that"
                    " model."
                )
            mask[layer, head] = True
        return mask.reshape(-1)

    def predict(self, heads: Iterable[Head], measure: str = "margin") -> Prediction:
        """The faithfulness of a circuit, by accuracy or by margin. UserError for a measure that is
        not defined, and for a head that the model does not have.
        """
        if measure not in self.measures:
            raise UserError(
                f"Faithfulness by {measure!r} cannot be predicted; choose from"
                f" {', '.join(self.measures) or 'none: it is not defined on these rows'}."
            )
        mask = self.mask(heads)
        same = np.flatnonzero((self.sets.masks == mask).all(1))
        if len(same):
            value = float(self.sets.faithfulness(self.sets.outputs[same[:1]])[measure][0])
            return Prediction(value, value, value, measured=True)
        outputs, deviation = self.process.predict(mask[None])
        value = float(self.held_out.faithfulness(self.sets, outputs, deviation)[measure][0])
        half = self.held_out.half_width(measure, value, float(deviation[0]))
        low, high = value - half, value + half
        if measure == "accuracy":
            low, high = whole_rows(low, high, self.sets.row_share)
        return Prediction(value, low, high)

    def quality(self, measure: str) -> dict[str, float]:
        """How well circuits near a ranking were predicted by fits that did not see them: the mean
        absolute "error", "r2", and their number "circuits".
        """
        predicted, measured = self.held_out.calibration[measure]
        errors, spread = predicted - measured, measured - measured.mean()
        return {
            "error": float(np.abs(errors).mean()),
            "r2": float(1 - (errors**2).sum() / (spread**2).sum())
            if spread.any()
            else float("nan"),
            "circuits": len(errors),
        }

    def save(self, path) -> None:
        """A safetensors file."""
        sets, kernel = self.sets, self.process.kernel
        tensors = {
            "masks": sets.masks.astype(np.uint8),
            "logits": sets.logits.astype(np.float32),
            "gold": sets.gold.astype(np.int64),
            "near": sets.near.astype(np.uint8),
            "weights": kernel.weights.astype(np.float64),
            "kernel": np.array([*kernel.terms, kernel.noise]),
            "errors": self.held_out.errors.astype(np.float32),
            "margins": self.held_out.margins.astype(np.float64),
            "deviations": self.held_out.deviations.astype(np.float64),
            **{f"calibration.{name}": values for name, values in self.held_out.calibration.items()},
        }
        # safetensors writes the memory as it lies
        tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        description = {"shape": sets.shape, "measures": self.measures, "about": self.about}
        with atomic_path(path, "the surrogate") as part:
            save_file(tensors, part, {"surrogate": json.dumps(description)})

    @classmethod
    def load(cls, path) -> "FaithfulnessSurrogate":
        """The surrogate that `save` wrote. UserError for any other file."""
        file = TensorFile(
            path,
            "The surrogate file",
            "give a surrogate.safetensors of `python -m ctsft surrogate`",
        )
        said, tensors = file.read("surrogate", SurrogateFile)
        calibrations = [f"calibration.{name}" for name in said.measures]
        file.need_names(tensors, [*TENSORS, *calibrations])
        n_heads = said.shape[0] * said.shape[1]
        file.need_shape("masks", tensors["masks"], (None, n_heads))
        n_sets = len(tensors["masks"])
        file.need_shape("logits", tensors["logits"], (n_sets, None, None))
        file.need_shape("gold", tensors["gold"], (tensors["logits"].shape[1],))
        file.need_shape("near", tensors["near"], (n_sets,))
        file.need_shape("weights", tensors["weights"], (n_heads,))
        file.need_shape("kernel", tensors["kernel"], (5,))  # four terms, the noise
        n_held_out = len(tensors["margins"])
        file.need_shape("margins", tensors["margins"], (None,))
        file.need_shape("deviations", tensors["deviations"], (n_held_out,))
        file.need_shape("errors", tensors["errors"], (n_held_out, tensors["logits"][0].numel()))
        for name in calibrations:
            file.need_shape(name, tensors[name], (2, n_held_out))
        for name in (*FINITE, *calibrations):
            file.need_finite(name, tensors[name])
        array = {name: value.numpy() for name, value in tensors.items()}
        sets = MeasuredSets(
            tuple(said.shape),
            array["masks"].astype(bool),
            array["logits"],
            array["gold"],
            array["near"].astype(bool),
        )
        *terms, noise = array["kernel"].tolist()
        process = Process(Kernel(array["weights"], tuple(terms), noise), sets.masks, sets.outputs)
        calibration = {name: array[f"calibration.{name}"] for name in said.measures}
        held_out = HeldOutSets(array["errors"], array["margins"], array["deviations"], calibration)
        return cls(sets, process, held_out, said.about)


def whole_rows(low: float, high: float, share: float) -> tuple[float, float]:
    """The first and the last value within an interval that whole rows give, at `share` a row; the
    nearest one where none lies within.
    """
    first, last = np.ceil(low / share - 1e-9), np.floor(high / share + 1e-9)
    if first > last:
        first = last = np.round((low + high) / 2 / share)
    return float(first * share), float(last * share)


FINITE = ("logits", "weights", "kernel", "errors", "margins", "deviations")
TENSORS = ("masks", "gold", "near", *FINITE)


class SurrogateFile(BaseModel):
    """The description in a surrogate's file."""

    model_config = ConfigDict(extra="forbid")
    shape: tuple[Annotated[int, Field(gt=0, le=10_000)], Annotated[int, Field(gt=0, le=10_000)]]
    measures: list[str]
    about: dict
