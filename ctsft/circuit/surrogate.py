"""A surrogate of faithfulness: predicts in a millisecond what measuring a circuit would give, with
an interval, from circuits that were measured before.

What is predicted are the labels' logits of every row (`mask_kernel`: a Gaussian process over sets
of heads); accuracy, margin and faithfulness follow from them as from measured ones.

The interval is conformal (Vovk et al. 2005; Lei et al. 2018): folds of the measured circuits are
predicted by a process that was fitted without them, its weights included, and their errors are
divided by the standard deviation that the process states. The interval of a prediction is that
deviation times the 90th percentile of those errors, over the third of the folds' circuits whose
prediction is nearest, since errors are small where nothing works or everything does. Only circuits
near a ranking count, such as a person makes by hand. By accuracy an interval ends at whole rows.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save_file

from ctsft.circuit.mask_kernel import KERNELS, Kernel, Process, fit_process
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError
from ctsft.utils.tensor_files import TensorFile

Head = tuple[int, int]  # layer, head

CONFIDENCE = 0.9  # of an interval
FOLDS = 5
FEWEST = 24  # circuits that a surrogate can be fitted to
NEAREST_SHARE = 1 / 3  # of the circuits that an interval is calibrated on
MEASURES = ("accuracy", "margin")  # as in `Faithfulness`


@dataclass(frozen=True)
class Prediction:
    """Predicted faithfulness, and the interval that holds the measured one with `CONFIDENCE`."""

    value: float
    low: float
    high: float
    measured: bool = False  # this very circuit was measured


@dataclass(frozen=True)
class MeasuredSets:
    """Measured sets of heads. `shape`: layers, heads in a layer; `masks`: bool [mask, head], layer
    after layer, the first without heads and the second with all; `logits`: of the labels, [mask,
    row, label]; `gold`: the number of each row's correct label; `near`: which sets are near a
    ranking, [mask] bool.
    """

    shape: tuple[int, int]
    masks: np.ndarray
    logits: np.ndarray
    gold: np.ndarray
    near: np.ndarray

    @property
    def outputs(self) -> np.ndarray:
        """What a process predicts: the logits without their mean, which moves no measure, [mask,
        row * label].
        """
        centred = self.logits - self.logits.mean(-1, keepdims=True)
        return centred.reshape(len(centred), -1).astype(np.float64)

    def measures(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """{measure: [mask]} of outputs [mask, row * label]."""
        logits = outputs.reshape(len(outputs), *self.logits.shape[1:])
        n_labels = logits.shape[-1]
        weights = np.full(logits.shape[1:], -1 / (n_labels - 1))
        weights[np.arange(len(self.gold)), self.gold] = 1.0
        return {
            "accuracy": (logits.argmax(-1) == self.gold).mean(1),
            "margin": (logits * weights).sum(-1).mean(1),
        }

    @property
    def row_share(self) -> float:
        """How far one row changes faithfulness by accuracy."""
        empty, full = self.measures(self.outputs[:2])["accuracy"]
        return 1 / (len(self.gold) * abs(full - empty))

    def faithfulness(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """{measure: [mask]} relative to the first two sets; a measure by which those agree is left
        out.
        """
        ends, ratios = self.measures(self.outputs[:2]), {}
        for name, values in self.measures(outputs).items():
            empty, full = ends[name]
            if full != empty:
                ratios[name] = (values - empty) / (full - empty)
        return ratios


@dataclass(frozen=True)
class FaithfulnessSurrogate:
    """Predicts the faithfulness of any set of heads of one model on one task's rows.

    `calibration`: {measure: [3, circuit]}, circuits that the fit did not see: predicted, measured,
    and the standard deviation of the process. `about`: the model, the task and the rows.
    """

    sets: MeasuredSets
    process: Process
    calibration: Mapping[str, np.ndarray]
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
        return cls(sets, process, calibrate(sets), dict(about or {}))

    @property
    def measures(self) -> list[str]:
        """Those that are defined."""
        return list(self.calibration)

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
        if measure not in self.calibration:
            raise UserError(
                f"Faithfulness by {measure!r} cannot be predicted; choose from"
                f" {', '.join(self.calibration) or 'none: it is not defined on these rows'}."
            )
        mask = self.mask(heads)
        same = np.flatnonzero((self.sets.masks == mask).all(1))
        if len(same):
            value = float(self.sets.faithfulness(self.sets.outputs[same[:1]])[measure][0])
            return Prediction(value, value, value, measured=True)
        outputs, deviation = self.process.predict(mask[None])
        value = float(self.sets.faithfulness(outputs)[measure][0])
        half = conformal_factor(self.calibration[measure], value) * float(deviation[0])
        if measure == "accuracy":
            half = round(half / self.sets.row_share) * self.sets.row_share
        return Prediction(value, value - half, value + half)

    def held_out(self, measure: str) -> dict[str, float]:
        """How well circuits near a ranking were predicted by fits that did not see them: the mean
        absolute "error", "r2", and their number "circuits".
        """
        predicted, measured, _ = self.calibration[measure]
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
            **{f"calibration.{name}": values for name, values in self.calibration.items()},
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
        file.need_shape("kernel", tensors["kernel"], (len(KERNELS[0]) + 1,))
        for name in calibrations:
            file.need_shape(name, tensors[name], (3, None))
        for name in ("logits", "weights", "kernel", *calibrations):
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
        return cls(sets, process, calibration, said.about)


TENSORS = ("masks", "logits", "gold", "near", "weights", "kernel")


class SurrogateFile(BaseModel):
    """The description in a surrogate's file."""

    model_config = ConfigDict(extra="forbid")
    shape: tuple[Annotated[int, Field(gt=0, le=10_000)], Annotated[int, Field(gt=0, le=10_000)]]
    measures: list[str]
    about: dict


def calibrate(sets: MeasuredSets, seed: int = 0) -> dict[str, np.ndarray]:
    """Sets near a ranking, predicted by a process that did not see them, {measure: [3, circuit]};
    see `FaithfulnessSurrogate`.
    """
    outputs, truth = sets.outputs, sets.faithfulness(sets.outputs)
    fold = np.random.default_rng(seed).permutation(len(outputs)) % FOLDS
    predicted, deviation = np.empty_like(outputs), np.empty(len(outputs))
    for held_out in (fold == number for number in range(FOLDS)):
        process = fit_process(sets.masks[~held_out], outputs[~held_out])
        predicted[held_out], deviation[held_out] = process.predict(sets.masks[held_out])
    counted = sets.near if sets.near.sum() >= FEWEST else np.arange(len(outputs)) > 1
    return {
        name: np.stack([values, truth[name], deviation])[:, counted]
        for name, values in sets.faithfulness(predicted).items()
    }


def conformal_factor(calibration: np.ndarray, value: float) -> float:
    """Which number of standard deviations an error of a prediction `value` exceeds in at most
    1 - CONFIDENCE of the cases; `calibration` is [3, circuit].
    """
    predicted, measured, deviation = calibration
    errors = np.abs(predicted - measured) / deviation
    count = max(min(FEWEST, len(errors)), round(NEAREST_SHARE * len(errors)))
    nearest = np.sort(errors[np.argsort(np.abs(predicted - value), kind="stable")[:count]])
    return float(nearest[min(int(np.ceil(CONFIDENCE * (count + 1))), count) - 1])
