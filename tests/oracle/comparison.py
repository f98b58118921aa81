"""The library's scores beside the oracle's."""

import torch

from ctsft.data.task import Example
from oracle import naive

ROWS = [
    Example(str(i), text, label, {"text": text})
    for i, (text, label) in enumerate(
        [
            ("good tea", "positive"),
            ("rain and the sun is poor", "neutral"),
            ("bad house", "negative"),
        ]
    )
]


def expected(model, task, means, rule=naive.relevance, rows=ROWS, **how):
    """The oracle's scores, [example, layer, head]."""
    labels = task.label_ids(model)
    out = torch.zeros(len(rows), model.n_layers, model.n_heads, dtype=torch.float64)
    for i, row in enumerate(rows):
        ids, words = task.encode(model, row), (list(labels.values()),)
        how["clean"] = naive.totals(model.hf, ids)
        if rule is naive.relevance:
            words = (labels[row.label], *words)
        for layer, head in model.heads:
            out[i, layer, head] = rule(
                model.hf, ids, *words, layer, head, means.values[layer, head].double(), **how
            )
    return out


def error(mine, theirs) -> float:
    """Largest difference, in units of the largest |R|."""
    assert theirs.abs().max() > 1e-3 and torch.isfinite(mine).all()
    return ((mine.double() - theirs).abs().max() / theirs.abs().max()).item()
