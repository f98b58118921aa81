"""What the Circuit page shows and keeps: a circuit as rows, as counts, as a file, and a
faithfulness run as a chart.
"""

from collections.abc import Mapping

import pandas as pd

from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit

COLUMNS = ("in circuit", "layer", "head", "score", "s.e.", "rank", "why")


def order(scores: Scores) -> list[Head]:
    """Every head, by falling score; those without a score last."""
    ranked, (layers, heads) = scores.ranking(), scores.values.shape
    scored = set(ranked)
    return ranked + [
        at
        for at in ((layer, head) for layer in range(layers) for head in range(heads))
        if at not in scored
    ]


def table(scores: Scores, circuit: Circuit, why: Mapping[Head, str]) -> pd.DataFrame:
    """A row a head, in `order`."""
    rank = {head: i + 1 for i, head in enumerate(scores.ranking())}
    values, errors = scores.values.tolist(), scores.stderr.tolist()
    rows = [
        (
            at in circuit,
            *at,
            values[at[0]][at[1]],
            errors[at[0]][at[1]],
            rank.get(at),
            why.get(at, ""),
        )
        for at in order(scores)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def edited(edits: Mapping[int, Mapping], heads: list[Head], circuit: Circuit) -> list[Head]:
    """The heads whose checkbox, as it was left in the table, says something else than the circuit
    does.
    """
    return [
        heads[row]
        for row, cells in edits.items()
        if cells.get("in circuit", heads[row] in circuit) != (heads[row] in circuit)
    ]
