"""What was forgotten: the texts that each run lost and won, and how many of the lost ones other
runs lost too; no streamlit.
"""

from collections.abc import Callable, Mapping

import pandas as pd

from ctsft.utils.paired_rows import change, right_rows
from explorer.text.outcomes import RunAnswers

HELP = {
    "run": "The run, as in the chart.",
    "source lost": "Source texts that were right before tuning and are wrong after it.",
    "source won": "Source texts that were wrong before tuning and are right after it.",
    "lost by others too": "Of the lost source texts, those that another of these runs lost too.",
    "target lost": "Target texts that were right before tuning and are wrong after it.",
    "target won": "Target texts that were wrong before tuning and are right after it.",
}


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
    return pd.DataFrame(lines, columns=list(HELP)).astype({"lost by others too": "Int64"})


def lost_texts(source) -> set[int]:
    """The numbers of the rows that were right before and are wrong after."""
    before, after = right_rows(source.before), right_rows(source.after)
    return set((before & ~after).nonzero()[0].tolist())
