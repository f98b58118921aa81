"""The interval at 95 % of each kind of figure, or why it has none."""

from collections.abc import Callable

from scipy.special import ndtri

from ctsft.receipts.evidence import Evidence, NotRecomputable
from ctsft.receipts.score_figures import head_value
from ctsft.receipts.tuning_figures import WHENS, accuracy, at, languages, paired, rows_measured
from ctsft.utils.statistics import CONFIDENCE_LEVEL

Z = float(ndtri((1 + CONFIDENCE_LEVEL) / 2))


def interval_text(low: float, high: float, of: str) -> str:
    return f"[{low:.4f}, {high:.4f}], 95 %, {of}"


def share_interval(right: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share of n rows."""
    centre = (right + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * (right * (1 - right) / n + Z * Z / (4 * n * n)) ** 0.5 / (1 + Z * Z / n)
    return centre - half, centre + half


def accuracy_interval(evidence: Evidence, run_id: str, when: str, language: str) -> str:
    value = accuracy(evidence, run_id, when, language)
    n = rows_measured(evidence, run_id, language)
    return interval_text(*share_interval(value, int(n)), f"Wilson over {int(n)} rows")


def change_interval(evidence: Evidence, run_id: str, side: str, sign: int) -> str:
    """Of a paired difference of accuracies on the same rows (normal approximation)."""
    run = evidence.run(run_id)
    language = languages(run)[side]
    of, n = paired(run, language), rows_measured(evidence, run_id, language)
    mean = (of.won - of.lost) / n
    half = Z * max(0.0, (of.won + of.lost) / n - mean * mean) ** 0.5 / n**0.5
    low, high = sorted((sign * (mean - half), sign * (mean + half)))
    return interval_text(low, high, f"paired over {int(n)} rows, of this seed")


def side_interval(side: str, when: str) -> Callable[[Evidence, str], str]:
    def compute(evidence: Evidence, run_id: str) -> str:
        return accuracy_interval(evidence, run_id, when, languages(evidence.run(run_id))[side])

    return compute


def at_interval(evidence: Evidence, run_id: str, step: int, language: str) -> str:
    value = at(evidence, run_id, step, language)
    counts = evidence.run(run_id).result.get("rows", {})
    if not counts.get(language):
        raise NotRecomputable("the number of rows is not stored")
    n = counts[language]
    return interval_text(*share_interval(value, n), f"Wilson over {n} rows")


def score_interval(evidence: Evidence, run_id: str, layer: int, head: int) -> str:
    mean, error = (head_value(name)(evidence, run_id, layer, head) for name in ("values", "stderr"))
    return interval_text(mean - Z * error, mean + Z * error, "standard error over the examples")


INTERVALS: dict[str, Callable[..., str]] = {
    "accuracy": accuracy_interval,
    **{
        f"{side}_{when}": side_interval(side, when)
        for side in ("source", "target")
        for when in WHENS
    },
    "gain": lambda evidence, run_id: change_interval(evidence, run_id, "target", 1),
    "forgetting": lambda evidence, run_id: change_interval(evidence, run_id, "source", -1),
    "at": at_interval,
    "score": score_interval,
}


NO_INTERVAL = {
    "mean": "fewer than three runs",
    "sd": "a deviation, which belongs to its mean",
    "low": "an end of an interval",
    "high": "an end of an interval",
    "minus": "the figures it is made of have theirs",
    "seconds": "one measured time",
    "faithfulness": "one circuit; random circuits of the same size stand beside it",
    "p": "a p value",
    "holm": "a p value, adjusted for all tests that are shown together",
    "spread_p": "a p value",
}
