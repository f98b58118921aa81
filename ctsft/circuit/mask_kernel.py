"""Gaussian process regression over sets of heads (kernel ridge regression; Rasmussen & Williams
2006, chapter 2), in numpy.

Two sets are alike to the degree to which they agree on the heads that count: with z = 1 for a head
inside and -1 outside, s = sum of w z z' over the heads, divided by the sum of w. The kernel adds a
linear term in s (each head adds its own part), a quadratic one (pairs of heads) and
exp((s - 1) / length), which lets the prediction saturate. `kernel_fit` learns weights and terms.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

CONSTANT = 0.1  # variance of what all sets have in common


@dataclass(frozen=True)
class Kernel:
    """How alike two sets of heads are. `weights`: [head], mean 1; `terms`: factors of the linear,
    the quadratic and the exponential term, and the length of the last; `noise`: variance.
    """

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
