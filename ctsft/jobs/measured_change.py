"""What a tuning run measures of its own change, once it has ended: whether the rest of the model
has the checkpoint's bits, the accuracies on the rows that only the final figures are measured on,
and those of eleven shares of the change on validation rows.

All start from the checkpoint, loaded again. Shares are measured on validation rows only, so that
one can be chosen by them (WiSE-FT, arXiv 2109.01903, applied as in `ctsft.tuning.shares`).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from ctsft.data.task import Example, Task
from ctsft.model.evaluation import evaluate
from ctsft.model.model import Model
from ctsft.runs.folder import Run
from ctsft.tuning.delta import Delta, delta_base
from ctsft.tuning.evaluation_sets import EvaluationSet, measure_set
from ctsft.tuning.unchanged import compare_outside
from ctsft.utils.errors import UserError

SHARES = tuple(step / 10 for step in range(11))
SPLIT = "valid"
SHARE_ROWS = 400  # of each language, at most
CHANGED = (
    "The files of the checkpoint changed, or went away, while the run trained: it could not be"
    " compared with the model before, and no final figures were measured. Start the run again."
)

Progress = Callable[[float, float], None]


def share_file(run: Run, share: float) -> Path:
    """Where the delta of a share of a run's change is stored."""
    return run.file(f"delta-share-{share:g}.safetensors")


def share_rows(task: Task, languages: list[str]) -> dict[str, list[Example]]:
    """The rows that shares are measured on, by language; {} where a language has no validation
    rows.
    """
    if any(SPLIT not in task.splits(language) for language in languages):
        return {}
    return {language: task.load(language, SPLIT)[:SHARE_ROWS] for language in languages}


def outside_of_change(checkpoint: Mapping[str, torch.Tensor], delta: Delta, tuned: Model) -> dict:
    """{"parameters": outside of what was trained, "identical": those with the checkpoint's bits,
    "text": one sentence}. checkpoint: the parameters' values before tuning, by name.
    """
    outside = compare_outside(delta, checkpoint, tuned)
    return asdict(outside) | {"text": outside.text()}


def measure_ends(
    checkpoint: Model,
    tuned: Model,
    task: Task,
    sets: Mapping[str, EvaluationSet],
    progress: Progress = lambda done, total: None,
) -> dict[str, dict[str, dict]]:
    """{"before": {set: metrics of the checkpoint}, "after": of the tuned model}."""
    ends = {}
    for when, model in {"before": checkpoint, "after": tuned}.items():
        ends[when] = {name: measure_set(model, task, one) for name, one in sets.items()}
        progress(len(ends), 2)
    return ends


def measure_shares(
    checkpoint: Model,
    delta: Delta,
    task: Task,
    rows: dict[str, list[Example]],
    progress: Progress = lambda done, total: None,
) -> dict:
    """{"split", "rows": {language: their number}, "points": [{"share", "accuracy": {language:
    0 to 1}}]}. The checkpoint's values are changed; afterwards they are those of share 1.
    """
    start = delta.values_in(checkpoint)
    points = []
    for share in SHARES:
        start.write(checkpoint)
        delta.scaled(share).write(checkpoint)
        accuracy = {
            language: evaluate(checkpoint, task, some)["accuracy"]
            for language, some in rows.items()
        }
        points.append({"share": share, "accuracy": accuracy})
        progress(len(points), len(SHARES))
    return {
        "split": SPLIT,
        "rows": {language: len(some) for language, some in rows.items()},
        "points": points,
    }


def checkpoint_of(loaded: Model, delta: Delta) -> Model | None:
    """The loaded model as the delta's values are written into it; None where it is not the one that
    was tuned, because its files have changed.
    """
    try:
        return delta_base(loaded, delta, "of this run")
    except UserError:
        return None
