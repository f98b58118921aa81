"""Gaussian process regression over blocks of features, for `benchmarks.forecast`."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

FITTED = 200  # runs at most that hyperparameters are fitted on


class Process:
    """A Gaussian process over blocks of features, [run, feature] each: one kernel that is additive
    in the blocks, and one of all blocks together.

    theta: logs of a length a block, of the two kernels' and of the noise's standard deviation; None
    for the most probable ones of at most `FITTED` of the runs, with broad log-normal priors.
    """

    def __init__(self, blocks: list[np.ndarray], values: np.ndarray, theta=None):
        self.blocks = blocks
        self.mean, self.scale = values.mean(), values.std() + 1e-6
        values = (values - self.mean) / self.scale
        distances = squared_distances(blocks, blocks)
        self.theta = fitted(distances, values) if theta is None else theta
        self.solved = factor(self.theta, distances)
        self.weights = cho_solve(self.solved, values)

    def forecast(self, blocks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of further runs, [run] each."""
        cross = kernel(self.theta, squared_distances(blocks, self.blocks))
        prior = np.exp(2 * self.theta[-3]) + np.exp(2 * self.theta[-2])
        known = np.einsum("ij,ji->i", cross, cho_solve(self.solved, cross.T))
        spread = np.sqrt(np.maximum(prior - known, 0) + np.exp(2 * self.theta[-1]))
        return cross @ self.weights * self.scale + self.mean, spread * self.scale


def fitted(distances: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The most probable theta (`Process`)."""
    some = np.random.default_rng(0).permutation(len(values))[:FITTED]
    distances, values = distances[:, some][:, :, some], values[some]
    prior = np.r_[np.full(len(distances), 0.7), -0.3, -0.3, -1.0]
    width = np.r_[np.ones(len(distances)), 1.0, 1.0, 0.7]

    def cost(theta: np.ndarray) -> float:
        lower = factor(theta, distances)
        fit = values @ cho_solve(lower, values) / 2 + np.log(np.diag(lower[0])).sum()
        return fit + (((theta - prior) / width) ** 2).sum() / 2

    return minimize(cost, prior, method="L-BFGS-B", options={"maxiter": 30}).x


def squared_distances(left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
    """[block, run, run]"""
    return np.array(
        [((a[:, None] - b[None]) ** 2).sum(-1) for a, b in zip(left, right, strict=True)]
    )


def kernel(theta: np.ndarray, distances: np.ndarray) -> np.ndarray:
    *lengths, additive, joint, _ = np.exp(theta)
    scaled = distances / 2 / np.square(lengths)[:, None, None]
    return additive**2 * np.exp(-scaled).mean(0) + joint**2 * np.exp(-scaled.sum(0))


def factor(theta: np.ndarray, distances: np.ndarray):
    noise = np.exp(2 * theta[-1]) + 1e-6
    return cho_factor(kernel(theta, distances) + noise * np.eye(distances.shape[1]), lower=True)
