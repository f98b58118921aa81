"""Figures of a scoring or faithfulness run, computed again from the scores of each example and from
the events.
"""

from collections.abc import Callable

from ctsft.plots.faithfulness import curve_rows, curve_series
from ctsft.receipts.evidence import Evidence, NotRecomputable
from ctsft.tuning.trainable import trainable_count
from ctsft.utils.format import head_of


def head_value(name: str) -> Callable[[Evidence, str, int, int], float]:
    """The mean score of a head, or its standard error, over the stored scores of each example."""

    def compute(evidence: Evidence, run_id: str, layer: int, head: int) -> float:
        return getattr(evidence.run(run_id).scores, name)[layer, head].item()

    return compute


def label_score(evidence: Evidence, run_id: str, label: str, layer: int, head: int) -> float:
    by_label = evidence.run(run_id).scores.by_label
    if label not in by_label:
        raise NotRecomputable(f"run {run_id} has no example of the label {label}")
    return by_label[label][layer, head].item()


def rank(evidence: Evidence, run_id: str, layer: int, head: int) -> float:
    return evidence.run(run_id).scores.ranking().index((layer, head)) + 1


def examples(evidence: Evidence, run_id: str) -> float:
    return len(evidence.run(run_id).scores.examples)


def trainable_with(evidence: Evidence, run_id: str, names: str) -> float:
    """The parameters that tuning some heads trains; needs the model."""
    model = evidence.model(evidence.run(run_id).request.subject.model)
    return trainable_count(model, [head_of(name) for name in names.split(",")], "group")


def faithfulness_at(place: int) -> Callable[[Evidence, str, str, int, int], float]:
    """The faithfulness of a size: of the ranking (0), or the lowest, median or highest of random
    circuits (1 to 3).
    """

    def compute(evidence: Evidence, run_id: str, measure: str, size: int, n_heads: int) -> float:
        rows = curve_rows(evidence.run(run_id).run.events())
        series = curve_series(rows, measure, n_heads)
        if size not in series.sizes:
            raise NotRecomputable(f"run {run_id} did not measure {size} heads")
        values = (series.ranked, *series.band)[place]
        return values[series.sizes.index(size)]

    return compute
