"""Can the outcome of a tuning run be forecast before it starts? Forecasts of runs that are left out
of the calibration, against what they came to.

    OMP_NUM_THREADS=1 python -m benchmarks.forecast examples/nusax.results.md --unseen cells
    OMP_NUM_THREADS=1 python -m benchmarks.forecast cells.jsonl --unseen cells
    OMP_NUM_THREADS=1 python -m benchmarks.forecast RUN --unseen targets

Reads the stored tables of an experiment (each figure is a mean over seeds; with `--seed` one run is
drawn around it, by the standard deviation that stands beside it), the lines of
`benchmarks.random_cells`, or the finished trials of an experiment RUN in CTSFT_HOME (`--grid`: the
trials on validation rows that its learning rates are chosen by).

The forecast is a Gaussian process over earlier runs, of the change of accuracy, from what is known
before the run: learning rate, steps, rows, method, target language, and the target's accuracy
before. Its 80 % band is conformal: the errors of forecasts within the calibration runs, as
multiples of the process's own standard deviation (arXiv 1905.02928). `--unseen` says what is left
out: "cells" (a tenth of them at a time), "seeds" or "targets"; the band is made in the same way.
The baseline is the mean of the calibration runs with the same method and learning rate.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.gaussian_process import Process
from benchmarks.run_outcomes import (
    SIDES,
    Outcome,
    collected_cells,
    experiment_trials,
    grid_trials,
    stored_tables,
)
from ctsft import runs

BAND = 0.8


def features(outcomes: list[Outcome], guess: str | None) -> list[np.ndarray]:
    """Blocks of features, each about 1 in size. guess: a name of `Outcome.guesses` to add."""

    def of(values) -> np.ndarray:
        values = np.array(values, dtype=float).reshape(len(outcomes), -1)
        return (values - values.mean(0)) / (values.std() + 1e-9)

    def one_of(names: list[str]) -> np.ndarray:
        return np.array([[name == other for other in sorted(set(names))] for name in names], float)

    blocks = [
        of([np.log(one.rate) for one in outcomes]),
        of([np.log(one.steps) for one in outcomes]),
        of([np.log(one.n) for one in outcomes]),
        of(np.nan_to_num([one.before["target"] for one in outcomes])),
        one_of([one.method for one in outcomes]),
        one_of([one.target for one in outcomes]),
    ]
    if guess:
        changes = [
            [one.guesses[guess][side] - one.before[side] for side in SIDES] for one in outcomes
        ]
        blocks.append(of(changes))
    return blocks


def folds(outcomes: list[Outcome], unseen: str, count: int = 10) -> np.ndarray:
    """The number of the part that each run belongs to: `count` parts of whole cells (all seeds), or
    one for each seed or target.
    """
    if unseen == "cells":
        keys = [(one.target, one.method, one.n, one.rate, one.steps) for one in outcomes]
    else:
        keys = [getattr(one, unseen.removesuffix("s")) for one in outcomes]
    names = sorted(set(keys))
    numbers = np.array([names.index(key) for key in keys])
    if unseen != "cells":
        return numbers
    return np.random.default_rng(0).permutation(len(names))[numbers] % count


def with_bands(
    blocks: list[np.ndarray], changes: np.ndarray, parts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each run's change, forecast from the runs of all other parts, and half the width of its band,
    from forecasts of these other runs that leave out one of their parts at a time.
    """
    mean, half = np.empty(len(changes)), np.empty(len(changes))
    for part in np.unique(parts):
        out = parts == part
        others = [block[~out] for block in blocks]
        process = Process(others, changes[~out])
        mean[out], spread = process.forecast([block[out] for block in blocks])
        ratios = error_ratios(others, changes[~out], parts[~out], process.theta)
        level = min(1.0, BAND * (1 + 1 / len(ratios)))
        half[out] = np.quantile(ratios, level) * spread
    return mean, half


def error_ratios(
    blocks: list[np.ndarray], changes: np.ndarray, parts: np.ndarray, theta: np.ndarray
) -> np.ndarray:
    """Each run's error, over its expected standard deviation, when its part is left out."""
    ratios = np.empty(len(changes))
    for part in np.unique(parts):
        out = parts == part
        process = Process([block[~out] for block in blocks], changes[~out], theta)
        mean, spread = process.forecast([block[out] for block in blocks])
        ratios[out] = np.abs(changes[out] - mean) / spread
    return ratios


def baseline(outcomes: list[Outcome], after: np.ndarray, parts: np.ndarray, keys) -> np.ndarray:
    """The mean of the runs of other parts that agree in the first keys; in fewer of them, where no
    run agrees in all.
    """
    out = np.empty(len(outcomes))
    for i, one in enumerate(outcomes):
        for count in range(len(keys), -1, -1):
            alike = [
                after[j]
                for j, other in enumerate(outcomes)
                if parts[j] != parts[i]
                and all(getattr(one, key) == getattr(other, key) for key in keys[:count])
            ]
            if alike:
                out[i] = np.mean(alike)
                break
    return out


def report(outcomes: list[Outcome], unseen: str, seed: int | None) -> list[str]:
    """The lines of the table."""
    parts, lines = folds(outcomes, unseen), []
    draw = np.random.default_rng(seed)
    for side in SIDES:
        before = np.array([one.before[side] for one in outcomes])
        after = np.array([one.after[side] for one in outcomes])
        if seed is not None:
            after = after + draw.normal(size=len(after)) * [one.spread[side] for one in outcomes]
        start = np.nan_to_num(before)
        table = [("no change", before, None)]
        for keys in (("method", "rate"), ("method", "rate", "target")):
            name = f"mean of the same {', '.join(keys)}"
            table.append((name, baseline(outcomes, after, parts, keys), None))
        mean, half = with_bands(features(outcomes, None), after - start, parts)
        table.append(("earlier runs", start + mean, half))
        for guess in ("rehearsal", "linear"):
            expected = np.array([one.guesses.get(guess, {}).get(side) for one in outcomes], float)
            table.append((guess, expected, None))
            if np.isfinite(expected).all():
                mean, half = with_bands(features(outcomes, guess), after - before, parts)
                table.append((f"earlier runs and {guess}", before + mean, half))
        lines += [line_of(side, name, forecast - after, half) for name, forecast, half in table]
    return [line for line in lines if line]


def line_of(side: str, name: str, errors: np.ndarray, half: np.ndarray | None) -> str:
    """One line of the table; "" for a forecast that no run has."""
    known = np.isfinite(errors)
    if not known.any():
        return ""
    sizes, band = np.abs(errors[known]), ""
    if half is not None:
        band = f"{np.mean(sizes <= half[known]):.0%}, ± {np.mean(half[known]):.3f}"
    return f"| {side} | {name} | {len(sizes)} | {sizes.mean():.3f} | {band} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("outcomes", help="stored tables, lines of cells, or an experiment's run")
    parser.add_argument("--unseen", choices=("cells", "seeds", "targets"), default="cells")
    parser.add_argument("--grid", action="store_true", help="of a run: trials on validation rows")
    parser.add_argument("--seed", type=int, help="draw one run around each stored mean")
    arguments = parser.parse_args()
    path = Path(arguments.outcomes)
    if path.suffix == ".md":
        outcomes = stored_tables(path)
    elif path.suffix == ".jsonl":
        outcomes = collected_cells(path)
    else:
        read = grid_trials if arguments.grid else experiment_trials
        outcomes = read(runs.get(arguments.outcomes))
    print("| side | forecast | unseen runs | mean absolute error | 80 % band: inside, half width |")
    print("|---|---|---|---|---|")
    print("\n".join(report(outcomes, arguments.unseen, arguments.seed)))


if __name__ == "__main__":
    main()
