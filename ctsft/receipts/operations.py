"""The operations of derivations: how each kind of figure is computed again, by its name.

accuracy(run, when, language)      gain(run), forgetting(run)    lost(run, language), won, p
at(run, step, language)            score(run, layer, head)       mean(...), sd, low, high
"""

from collections.abc import Callable
from functools import lru_cache

from ctsft.receipts.evidence import Evidence, NotRecomputable
from ctsft.receipts.score_figures import (
    examples,
    faithfulness_at,
    head_value,
    label_score,
    rank,
    trainable_with,
)
from ctsft.receipts.tuning_figures import (
    WHENS,
    accuracy,
    along_the_curve,
    at,
    between_part,
    forgetting,
    gain,
    heads,
    paired_part,
    parameters,
    perplexity,
    rows_measured,
    seconds,
    share,
    side_accuracy,
    trainable,
)
from ctsft.utils.statistics import holm, spread


@lru_cache(maxsize=2_000)
def over(values: tuple[float, ...]):
    return spread(values)


def spread_part(name: str) -> Callable[..., float]:
    def compute(evidence: Evidence, *values: float) -> float:
        value = getattr(over(values), name)
        if value is None:
            raise NotRecomputable("too few values")
        return value

    return compute


def adjusted(evidence: Evidence, place: int, tests: tuple[float, ...]) -> float:
    """p of one of several tests that are shown together (Holm)."""
    return all_adjusted(tests)[place]


@lru_cache(maxsize=100)
def all_adjusted(tests: tuple[float, ...]) -> list[float]:
    return holm(tests)


Operation = Callable[..., float]


OPERATIONS: dict[str, Operation] = {
    "accuracy": accuracy,
    **{
        f"{side}_{when}": side_accuracy(side, when)
        for side in ("source", "target")
        for when in WHENS
    },
    "gain": gain,
    "forgetting": forgetting,
    "at": at,
    "source_lowest": along_the_curve("source_lowest"),
    "source_area_lost": along_the_curve("source_area_lost"),
    "seconds": seconds,
    "perplexity_before": perplexity("before"),
    "perplexity_after": perplexity("after"),
    "heads": heads,
    "trainable": trainable,
    "trainable_with": trainable_with,
    "parameters": parameters,
    "share": share,
    "lost": paired_part("lost"),
    "won": paired_part("won"),
    "p": paired_part("p"),
    "only": between_part("lost"),
    "p_between": between_part("p"),
    "rows": rows_measured,
    "score": head_value("values"),
    "stderr": head_value("stderr"),
    "label_score": label_score,
    "rank": rank,
    "examples": examples,
    "faithfulness": faithfulness_at(0),
    "random_lowest": faithfulness_at(1),
    "random_median": faithfulness_at(2),
    "random_highest": faithfulness_at(3),
    **{name: spread_part(name) for name in ("mean", "sd", "low", "high")},
    "spread_p": spread_part("p"),
    "lowest": lambda evidence, *values: min(values),
    "highest": lambda evidence, *values: max(values),
    "minus": lambda evidence, one, other: one - other,
    "negative": lambda evidence, one: -one,
    "divided": lambda evidence, one, other: one / other,
    "tests": lambda evidence, *values: values,
    "holm": adjusted,
}
