"""The rows that a tuning run trains on, and those it is measured on."""

from ctsft.data.task import Example, Task, balanced_sample, rows_hash
from ctsft.jobs.request_parts import POOLS, Tuning
from ctsft.tuning.evaluation_sets import TaskRows
from ctsft.utils.errors import UserError


def tuning_rows(
    task: Task, source: str, split: str, tuning: Tuning, seed: int
) -> tuple[list[Example], dict[str, list[Example]]]:
    """Rows to train on, and the sets that accuracy is measured on, the source first. UserError for
    a language without rows of that split.
    """
    train = training_rows(task, source, split, tuning, seed)
    languages = dict.fromkeys((source, tuning.target, *tuning.related))
    for name in languages:
        splits = task.splits(name)
        if tuning.eval_split == "valid" and "valid" not in splits and "test" in splits:
            raise UserError(
                f"{name} has no validation rows, which curves are measured on; add some, or measure"
                " the curves on test rows with --eval-split test --final-split ''."
            )
    return train, {name: task.load(name, tuning.eval_split) for name in languages}


def answered(split: str, sets: dict[str, list[Example]]) -> dict:
    """Which rows the figures before and after are of, for the summary of a run: {"split", "rows":
    {language: {"hash", "ids"}}}.
    """
    rows = {
        name: {"hash": rows_hash(some), "ids": [row.id for row in some]}
        for name, some in sets.items()
    }
    return {"split": split, "rows": rows}


def rows_of(sets: dict[str, list[Example] | TaskRows]) -> dict[str, list[Example]]:
    """The rows of each set, of whichever task."""
    return {name: one.rows if isinstance(one, TaskRows) else one for name, one in sets.items()}


def source_rows(task: Task, source: str, split: str) -> list[Example]:
    """The source rows that a run may read to keep the source: pool A of the split. UserError for
    test rows.
    """
    if split == "test":
        raise UserError(
            "The source is never held by test rows, which are reserved for the final figure; choose"
            " the train or the valid split."
        )
    return task.pools(task.load(source, split))[0]


def training_rows(task: Task, source: str, split: str, tuning: Tuning, seed: int) -> list[Example]:
    """UserError for a pool that is none, or a number of rows that the split has not."""
    if tuning.pool not in POOLS:
        raise UserError(f"{tuning.pool!r} is not a pool of rows; choose from {', '.join(POOLS)}.")
    if tuning.n < 0:
        raise UserError(f"n is {tuning.n}; give how many labelled rows to tune on, or 0 for all.")
    rows = task.load(tuning.target, split)
    # competence tuning leaves pool B unseen
    pool = "A" if tuning.target == source else tuning.pool
    rows = rows if pool == "all" else task.pools(rows)["AB".index(pool)]
    return balanced_sample(rows, tuning.n, task.labels, seed) if tuning.n else rows
