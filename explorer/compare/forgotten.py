"""What was forgotten: the texts that each run lost and won, and how many of the lost ones other
runs lost too; no streamlit.
"""

from collections.abc import Callable, Mapping

import pandas as pd

from ctsft.utils.paired_rows import change, right_rows
from explorer.text.outcomes import RunAnswers

COLUMNS = (
    "run",
    "source lost",
    "source won",
    "lost by others too",
    "target lost",
    "target won",
)


def texts_lost(
    rows: list[Mapping], names: list[str], answers: Callable[[str], RunAnswers]
) -> pd.DataFrame:
    """A line for each run whose answers are stored. "lost by others too": of the source texts that
    it lost, those that another of these runs, measured on the same rows, lost as well.
    """
    known = [
        (row, name, answers(row["run"]))
        for row, name in zip(rows, names, strict=True)
        if {row["source"], row["target"]} <= answers(row["run"]).keys()
    ]
    lost = {row["run"]: lost_texts(of[row["source"]]) for row, _, of in known}
    lines = []
    for row, name, of in known:
        source, target = of[row["source"]], of[row["target"]]
        others = [
            lost[other["run"]]
            for other, _, of_other in known
            if other is not row and of_other[other["source"]].hash == source.hash
        ]
        shared = lost[row["run"]] & set().union(*others) if others else None
        of_source, of_target = (change(one.before, one.after) for one in (source, target))
        lines.append(
            [
                name,
                of_source.lost,
                of_source.won,
                None if shared is None else len(shared),
                of_target.lost,
                of_target.won,
            ]
        )
    return pd.DataFrame(lines, columns=COLUMNS).astype({"lost by others too": "Int64"})


def lost_texts(source) -> set[int]:
    """The numbers of the rows that were right before and are wrong after."""
    before, after = right_rows(source.before), right_rows(source.after)
    return set((before & ~after).nonzero()[0].tolist())
