"""Learns the kernel of a Gaussian process over sets of heads: how much each head counts, the terms
and the noise are those of the smallest leave-one-out error (Rasmussen & Williams 2006, section
5.4.2), found from equal weights by descent along its gradient (L-BFGS, Byrd et al. 1995).
"""

import numpy as np

from ctsft.circuit.mask_kernel import CONSTANT, Kernel, Process

# where the descent begins, the best of these: factors of the linear, the quadratic and the
# exponential term, and the length of the last; and the noise
TERMS = (
    (1.0, 0.3, 0.0, 1.0),
    *(
        (linear, quadratic, 1.0, length)
        for linear in (0.0, 1.0)
        for quadratic in (0.0, 0.3)
        for length in (0.1, 0.3, 1.0)
    ),
)
NOISES = (1e-4, 1e-3, 1e-2, 1e-1)
LEAST_FACTOR = 1e-3  # of a term: its logarithm is learned
BOUNDS = {"factor": (LEAST_FACTOR, 10.0), "length": (0.03, 10.0), "noise": (1e-5, 1.0)}
EQUALITY = 6e-4  # what unequal weights cost: the sum of their squared logarithms times this
MOST_STEPS = 100
COMPONENTS = 24  # principal components of the outputs that the error is taken on


def fit_process(masks: np.ndarray, outputs: np.ndarray) -> Process:
    """A process with a learned kernel for measured sets, bool [mask, head] and [mask, output]."""
    from scipy.optimize import minimize  # takes a quarter of a second to import

    components = principal_components(outputs)
    if not components.any():
        return Process(Kernel(np.ones(masks.shape[1]), TERMS[0], NOISES[-1]), masks, outputs)
    start = best_start(masks, components)
    descent = minimize(
        loss_and_gradient,
        to_numbers(start),
        (masks, components),
        method="L-BFGS-B",
        jac=True,
        bounds=bounds(masks.shape[1]),
        options={"maxiter": MOST_STEPS},
    )
    return Process(to_kernel(descent.x), masks, outputs)


def principal_components(outputs: np.ndarray) -> np.ndarray:
    """The outputs in the directions in which they vary most, [mask, component]."""
    left, sizes, _ = np.linalg.svd(outputs - outputs.mean(0), full_matrices=False)
    return (left * sizes)[:, :COMPONENTS]


def best_start(masks: np.ndarray, outputs: np.ndarray) -> Kernel:
    """Of TERMS and NOISES, with equal weights, those of the smallest leave-one-out error."""
    weights = np.ones(masks.shape[1])
    agreement = Kernel(weights, TERMS[0], 0.0).agreement(masks, masks)
    best, least = Kernel(weights, TERMS[0], NOISES[-1]), np.inf
    for terms in TERMS:
        values, vectors = np.linalg.eigh(Kernel(weights, terms, 0.0).of(agreement))
        rotated = vectors.T @ outputs
        for noise in NOISES:
            damped = 1 / (np.maximum(values, 0.0) + noise)
            left_out = (vectors @ (damped[:, None] * rotated)) / ((vectors**2) @ damped)[:, None]
            if (error := float((left_out**2).mean())) < least:
                best, least = Kernel(weights, terms, noise), error
    return best


def to_numbers(kernel: Kernel) -> np.ndarray:
    """The logarithms of what is learned: weights [head], the three factors, length and noise."""
    *factors, length = kernel.terms
    factors = np.maximum(factors, LEAST_FACTOR)
    return np.log(np.concatenate([kernel.weights, factors, [length, kernel.noise]]))


def to_kernel(numbers: np.ndarray) -> Kernel:
    *weights, linear, quadratic, exponential, length, noise = np.exp(numbers)
    return Kernel(
        np.array(weights) / np.mean(weights),
        (float(linear), float(quadratic), float(exponential), float(length)),
        float(noise),
    )


def bounds(n_heads: int) -> list[tuple]:
    kinds = ["factor"] * 3 + ["length", "noise"]
    return [(None, None)] * n_heads + [tuple(np.log(BOUNDS[kind])) for kind in kinds]


def loss_and_gradient(
    numbers: np.ndarray, masks: np.ndarray, outputs: np.ndarray
) -> tuple[float, np.ndarray]:
    """The logarithm of the mean squared leave-one-out error, relative to that of the mean, and what
    unequal weights cost; and the gradient by `numbers`.
    """
    n_heads, signs = masks.shape[1], 2.0 * masks - 1.0
    linear, quadratic, exponential, length, noise = np.exp(numbers[n_heads:])
    share = np.exp(numbers[:n_heads])
    share /= share.sum()
    agreement = (signs * share) @ signs.T
    smooth = exponential * np.exp((agreement - 1) / length)
    k = CONSTANT + linear * agreement + quadratic * agreement**2 + smooth
    inverse = np.linalg.inv(k + noise * np.eye(len(k)))
    known = np.diag(inverse)[:, None]
    solved = inverse @ outputs
    left_out = solved / known  # [mask, output]; equation 5.12
    error = (left_out**2).mean()

    # backwards: by the inverse, by k, by the agreement and by each number
    by_left_out = 2 * left_out / left_out.size / error
    by_inverse = (by_left_out / known) @ outputs.T
    by_inverse[np.diag_indices_from(k)] -= (by_left_out * solved).sum(1) / known[:, 0] ** 2
    by_k = -inverse @ by_inverse @ inverse
    by_agreement = by_k * (linear + 2 * quadratic * agreement + smooth / length)
    by_share = ((by_agreement @ signs) * signs).sum(0)
    spread = numbers[:n_heads] - numbers[:n_heads].mean()
    by_weights = share * (by_share - by_share @ share) + 2 * EQUALITY * spread
    by_terms = [
        linear * (by_k * agreement).sum(),
        quadratic * (by_k * agreement**2).sum(),
        (by_k * smooth).sum(),
        (by_k * smooth * (1 - agreement)).sum() / length,
        noise * np.trace(by_k),
    ]
    loss = np.log(error / (outputs**2).mean()) + EQUALITY * (spread**2).sum()
    return float(loss), np.concatenate([by_weights, by_terms])
