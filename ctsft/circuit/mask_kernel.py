"""Gaussian process regression over sets of heads (kernel ridge regression; Rasmussen & Williams
2006, chapter 2), in numpy.

Two sets are alike to the degree to which they agree on the heads that count: with z = 1 for a head
inside and -1 outside, s = sum of w z z' over the heads, divided by the sum of w. The kernel adds a
linear term in s (each head adds its own part), a quadratic one (pairs of heads) and
exp((s - 1) / length), which lets the prediction saturate. The weights w are learned: from equal
ones, the process is fitted, and each head gets the square of how far the predictions change, on
average, when that head alone is added or removed. Terms, length and noise are those of the smallest
leave-one-out error.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

ROUNDS = 3  # of fitting; the weights of all but the first follow from the round before
# factors of the terms: linear, quadratic, exponential; and the length of the last
KERNELS = (
    (1.0, 0.3, 0.0, 1.0),
    *(
        (linear, quadratic, 1.0, length)
        for linear in (0.0, 1.0)
        for quadratic in (0.0, 0.3)
        for length in (0.1, 0.3, 1.0)
    ),
)
NOISES = (1e-4, 1e-3, 1e-2, 1e-1)  # variance, relative to a term of the kernel
CONSTANT = 0.1  # variance of what all sets have in common
LEAST_WEIGHT = 0.05  # of a head, relative to the mean
COMPONENTS = 24  # principal components of the outputs from which weights and terms are learned


@dataclass(frozen=True)
class Kernel:
    """How alike two sets of heads are. `weights`: [head], mean 1; `terms`: as in KERNELS."""

    weights: np.ndarray
    terms: tuple[float, float, float, float]
    noise: float

    def agreement(self, masks: np.ndarray, others: np.ndarray) -> np.ndarray:
        """-1 to 1, [mask, other]; masks are bool [mask, head]."""
        signs, other_signs = 2.0 * masks - 1.0, 2.0 * others - 1.0
        return (signs * self.weights) @ other_signs.T / self.weights.sum()

    def of(self, agreement: np.ndarray) -> np.ndarray:
        linear, quadratic, exponential, length = self.terms
        smooth = exponential * np.exp((agreement - 1) / length) if exponential else 0.0
        return CONSTANT + linear * agreement + quadratic * agreement**2 + smooth

    @property
    def variance(self) -> float:
        """Of a set, before anything is measured."""
        return CONSTANT + sum(self.terms[:3])


@dataclass(frozen=True)
class Process:
    """A fitted process: a kernel, the measured sets [mask, head] bool, and what was measured,
    [mask, output].
    """

    kernel: Kernel
    masks: np.ndarray
    outputs: np.ndarray

    @cached_property
    def mean(self) -> np.ndarray:
        return self.outputs.mean(0)

    @cached_property
    def inverse(self) -> np.ndarray:
        k = self.kernel.of(self.kernel.agreement(self.masks, self.masks))
        return np.linalg.inv(k + self.kernel.noise * np.eye(len(k)))

    @cached_property
    def coefficients(self) -> np.ndarray:
        """[mask, output]."""
        return self.inverse @ (self.outputs - self.mean)

    def predict(self, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The outputs of sets, [mask, output], and how little is known of each set: the process's
        standard deviation, in units of the kernel, [mask].
        """
        k = self.kernel.of(self.kernel.agreement(masks, self.masks))
        known = np.einsum("ij,ij->i", k @ self.inverse, k)
        variance = np.maximum(self.kernel.variance - known, 0.0) + self.kernel.noise
        return k @ self.coefficients + self.mean, np.sqrt(variance)

    def influence(self) -> np.ndarray:
        """How far the predictions of the measured sets change when one head is added or removed,
        the mean over sets and outputs; [head].
        """
        agreement = self.kernel.agreement(self.masks, self.masks)
        before = self.kernel.of(agreement) @ self.coefficients
        signs, share = 2.0 * self.masks - 1.0, self.kernel.weights / self.kernel.weights.sum()
        changes = np.empty(self.masks.shape[1])
        for head in range(len(changes)):
            turned = agreement - 2 * share[head] * np.outer(signs[:, head], signs[:, head])
            changes[head] = np.abs(self.kernel.of(turned) @ self.coefficients - before).mean()
        return changes


def fit_process(masks: np.ndarray, outputs: np.ndarray) -> Process:
    """A process with learned weights; see the module's docstring."""
    weights, components = np.ones(masks.shape[1]), principal_components(outputs)
    for _ in range(ROUNDS - 1):
        influence = Process(best_kernel(weights, masks, components), masks, components).influence()
        if not influence.any():
            break
        weights = (influence / influence.mean()) ** 2 + LEAST_WEIGHT
        weights = weights / weights.mean()
    return Process(best_kernel(weights, masks, components), masks, outputs)


def best_kernel(weights: np.ndarray, masks: np.ndarray, outputs: np.ndarray) -> Kernel:
    """The terms and the noise with the smallest leave-one-out error for these weights."""
    centred = outputs - outputs.mean(0)
    agreement = Kernel(weights, KERNELS[0], 0.0).agreement(masks, masks)
    best, least = Kernel(weights, KERNELS[0], NOISES[-1]), np.inf
    for terms in KERNELS:
        values, vectors = np.linalg.eigh(Kernel(weights, terms, 0.0).of(agreement))
        rotated = vectors.T @ centred
        for noise in NOISES:
            damped = 1 / (np.maximum(values, 0.0) + noise)
            left_out = (vectors @ (damped[:, None] * rotated)) / ((vectors**2) @ damped)[:, None]
            if (error := float((left_out**2).mean())) < least:
                best, least = Kernel(weights, terms, noise), error
    return best


def principal_components(outputs: np.ndarray) -> np.ndarray:
    """The outputs in the directions in which they vary most, [mask, component]."""
    left, sizes, _ = np.linalg.svd(outputs - outputs.mean(0), full_matrices=False)
    return (left * sizes)[:, :COMPONENTS]
