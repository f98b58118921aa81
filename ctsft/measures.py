"""How well a model answers: accuracy, macro-F1 and recall of each label (scikit-learn), and what
tuning did to them.

Forgetting is the source's measure before minus after, plasticity the target's after minus before
(CT-SFT, arXiv 2601.08146).
"""

import warnings

from sklearn.metrics import accuracy_score, f1_score, recall_score

from ctsft.answers import predict
from ctsft.data.task import Example, Task

MEASURES = ("accuracy", "macro_f1")


def measures(gold: list[str], predicted: list[str], labels: tuple[str, ...]) -> dict:
    """{"accuracy", "macro_f1": 0 to 1, "recall": {label: 0 to 1, None where no row has the label},
    "rows"}; NaN without rows.
    """
    if not gold:
        return {
            "accuracy": float("nan"),
            "macro_f1": float("nan"),
            "recall": dict.fromkeys(labels),
            "rows": 0,
        }
    names = list(labels)
    with warnings.catch_warnings():
        # a label that nothing was predicted as is no accident worth a line
        warnings.simplefilter("ignore")
        recall = recall_score(gold, predicted, labels=names, average=None, zero_division=0.0)
        macro = f1_score(gold, predicted, labels=names, average="macro", zero_division=0.0)
    return {
        "accuracy": float(accuracy_score(gold, predicted)),
        "macro_f1": float(macro),
        "recall": {
            label: float(share) if label in gold else None
            for label, share in zip(names, recall, strict=True)
        },
        "rows": len(gold),
    }


def measure(model, task: Task, rows: list[Example]) -> dict:
    """`measures` of a model's answers to some rows."""
    return measures(
        [row.label for row in rows], predict(model, task, rows) if rows else [], task.labels
    )


def change(
    before: dict[str, dict], after: dict[str, dict], source: str, target: str
) -> dict[str, dict[str, float]]:
    """{"forgetting": {measure: source before - after}, "plasticity": {measure: target after -
    before}}; sets by name.
    """
    return {
        "forgetting": {name: before[source][name] - after[source][name] for name in MEASURES},
        "plasticity": {name: after[target][name] - before[target][name] for name in MEASURES},
    }
