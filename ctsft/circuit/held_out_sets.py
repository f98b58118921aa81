"""Measured sets of heads, predicted by processes that were fitted without them: how far predictions
are off, and what follows from it.

*Expected accuracy.* A row whose labels are predicted nearly equal may be answered either way, so
the labels that the predicted logits favour say too much. Accuracy is predicted as its mean over
predicted logits to which the errors of held-out sets were added: of the third whose predicted
margin is nearest, since errors are small where nothing works or everything does. An error is scaled
by the standard deviation that the process states for this set, relative to that of the held-out
one; at most doubled, since the process may take a set that it predicts badly for a known one.

*Intervals* are conformal (Vovk et al. 2005; Lei et al. 2018): the standard deviation of a
prediction times the 90th percentile of the held-out sets' errors in such units, over the third
whose prediction is nearest.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from ctsft.circuit.kernel_fit import fit_process
from ctsft.circuit.measured_sets import MeasuredSets

CONFIDENCE = 0.9  # of an interval
FOLDS = 5
FEWEST = 24  # sets that a surrogate can be fitted to
NEAREST_SHARE = 1 / 3
MOST_SCALE = 2.0  # of an error


@dataclass(frozen=True)
class HeldOutSets:
    """Held-out sets near a ranking, such as a person makes by hand. `errors`: measured less
    predicted outputs, [set, row * label]; `margins`: the predicted mean margins, [set];
    `deviations`: the process's standard deviations, [set]; `calibration`: {measure: [2, set]},
    faithfulness as predicted and as measured.
    """

    errors: np.ndarray
    margins: np.ndarray
    deviations: np.ndarray
    calibration: dict[str, np.ndarray] = field(default_factory=dict)

    def among(self, chosen: np.ndarray) -> "HeldOutSets":
        """Some of them, without calibration."""
        return HeldOutSets(self.errors[chosen], self.margins[chosen], self.deviations[chosen])

    def faithfulness(
        self, sets: MeasuredSets, outputs: np.ndarray, deviation: np.ndarray
    ) -> dict[str, np.ndarray]:
        """{measure: [mask]}, expected for predicted outputs [mask, row * label] of sets that are
        not among these.
        """
        margins = sets.measures(outputs)["margin"]
        accuracy = [
            self.expected_accuracy(sets, *of)
            for of in zip(outputs, deviation, margins, strict=True)
        ]
        return sets.ratios({"accuracy": np.array(accuracy), "margin": margins})

    def expected_accuracy(
        self, sets: MeasuredSets, outputs: np.ndarray, deviation: float, margin: float
    ) -> float:
        """Of predicted outputs [row * label]."""
        near = nearest_to(margin, self.margins)
        scale = np.minimum(deviation / self.deviations[near], MOST_SCALE)
        possible = outputs + scale[:, None] * self.errors[near]
        return float(sets.measures(possible)["accuracy"].mean())

    def half_width(self, measure: str, value: float, deviation: float) -> float:
        """Half the interval of a predicted faithfulness."""
        predicted, measured = self.calibration[measure]
        errors = np.abs(predicted - measured) / self.deviations
        nearest = np.sort(errors[nearest_to(value, predicted)])
        last = min(int(np.ceil(CONFIDENCE * (len(nearest) + 1))), len(nearest)) - 1
        return float(nearest[last]) * deviation


def nearest_to(value: float, predicted: np.ndarray) -> np.ndarray:
    """The numbers of the third of the predictions that are nearest to a value."""
    count = max(min(FEWEST, len(predicted)), round(NEAREST_SHARE * len(predicted)))
    return np.argsort(np.abs(predicted - value), kind="stable")[:count]


def hold_out(sets: MeasuredSets, seed: int = 0) -> HeldOutSets:
    """Every set near a ranking, predicted by a process that was fitted to the other folds (its
    weights included) and, by accuracy, with the errors of the other folds.
    """
    outputs = sets.outputs
    fold = np.random.default_rng(seed).permutation(len(outputs)) % FOLDS
    predicted, deviation = np.empty_like(outputs), np.empty(len(outputs))
    for held_out in (fold == number for number in range(FOLDS)):
        process = fit_process(sets.masks[~held_out], outputs[~held_out])
        predicted[held_out], deviation[held_out] = process.predict(sets.masks[held_out])
    counted = sets.near if sets.near.sum() >= FEWEST else np.arange(len(outputs)) > 1
    truth = sets.faithfulness(outputs[counted])
    predicted, deviation, fold = predicted[counted], deviation[counted], fold[counted]
    margins = sets.measures(predicted)["margin"]
    held_out = HeldOutSets(outputs[counted] - predicted, margins, deviation)
    others = [held_out.among(fold != number) for number in range(FOLDS)]
    accuracy = [
        others[fold[i]].expected_accuracy(sets, predicted[i], deviation[i], margins[i])
        for i in range(len(fold))
    ]
    expected = sets.ratios({"accuracy": np.array(accuracy), "margin": margins})
    calibration = {name: np.stack([values, truth[name]]) for name, values in expected.items()}
    return replace(held_out, calibration=calibration)
