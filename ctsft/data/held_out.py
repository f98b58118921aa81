"""A task of one language with a part of its rows held out as the target.

A circuit is found in the source language and tuned on rows of a target. A task of one language has
no target; half of its rows, drawn by text, can take its place. The target then shows what tuning
does on rows that the circuit was not found with. It does not show transfer to another language.
"""

from collections import Counter
from dataclasses import replace

import pandas as pd

from ctsft.data.own_tables import MemoryTables
from ctsft.data.placeholders import LABEL
from ctsft.data.task import Example, Task
from ctsft.data.text_split import Rows, split_by_text
from ctsft.utils.errors import UserError, quoted

HELD_OUT = "held-out"
FEWEST = 4  # train rows of each label, two for either side


def hold_out(task: Task, share: float = 0.5, seed: int = 0) -> Task:
    """The task in memory with a second language "<source>-held-out": that share of the rows of
    every split, drawn by text and label with a seed. No text is on both sides.

    UserError for a task that has a target already, and for one with too few rows.
    """
    if task.targets:
        raise UserError(
            f"Task {quoted(task.name)} has the target {task.targets[0]}; rows are held out only of"
            " a task with one language."
        )
    held_out = f"{task.source}-{HELD_OUT}"
    rows = [
        (split, row) for split in task.splits(task.source) for row in task.load(task.source, split)
    ]
    counts = Counter(row.label for split, row in rows if split == "train")
    few = next((label for label in task.labels if counts[label] < FEWEST), None)
    if few is not None:
        raise UserError(
            f"Task {quoted(task.name)} has {counts[few]} train rows with the label {quoted(few)};"
            f" at least {FEWEST} of each label are needed to hold out a part."
        )
    sides = split_by_text(
        Rows([task.text(row) for _, row in rows], [row.label for _, row in rows]),
        seed=seed,
        shares={task.source: 1 - share, held_out: share},
    )
    frames = {}
    for language, numbers in sides.items():
        for split in task.splits(task.source):
            of_split = [rows[number][1] for number in numbers if rows[number][0] == split]
            if of_split:
                frames[language, split] = table(of_split)
    return replace(
        task,
        name=f"{task.name} {HELD_OUT}",
        targets=(held_out,),
        rows=MemoryTables(frames),
        rename={},
        leave_out=(),
    )


def table(rows: list[Example]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"id": row.id, **row.fields, LABEL: row.label} for row in rows], dtype=object
    )
