"""The order in which the current rule takes heads, and the rule's settings for a place in it; no
streamlit. The score strip under the head map draws the order, and its line cuts it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctsft.utils.format import Head

if TYPE_CHECKING:  # torch: link_format reads a constant of this file
    from ctsft.attribution.scores import Scores
    from ctsft.circuit.circuit import Circuit

RANKED = ("top", "threshold", "fraction")  # rules that take the highest-scoring heads first
SMALLEST_SHARE = 1e-4  # of all heads


@dataclass(frozen=True)
class Order:
    """`heads`: all heads with a score, in the order in which the rule takes them; `cut`: how many
    of them it takes, None for a rule that takes no first heads of an order; `least`: the smallest
    cut that the rule can express.
    """

    heads: tuple[Head, ...]
    cut: int | None = None
    least: int = 0


def order_of(scores: "Scores", selected: "Circuit", advised: Iterable[Head] = ()) -> Order:
    """The order of the rule that selected a circuit (without edits by hand) from these scores.

    `advised`: all heads in the order of the advice, for the rule of that name.
    """
    rule, ranking = selected.rule.get("name"), scores.ranking()
    if rule in RANKED:
        # a threshold never lies above the highest score, and a share is never zero
        least = 0 if rule == "top" else tied(scores, ranking, 1 if ranking else 0, rule)
        return Order(tuple(ranking), len(selected.heads), least)
    if rule == "least":
        return Order(tuple(ranking[::-1]), len(selected.heads))
    if rule == "near_zero":
        by_size = sorted(ranking, key=lambda head: (abs(scores.values[head].item()), head))
        return Order(tuple(by_size), len(selected.heads))
    advised = tuple(advised)
    if rule == "advised" and advised:
        return Order(advised, len(selected.heads))
    return Order(tuple(ranking))


def tied(scores: "Scores", ranking: list[Head], cut: int, rule: str) -> int:
    """`cut`, or the end of the heads with the same score as the last one: a threshold cannot
    separate those.
    """
    if rule != "threshold":
        return cut
    while 0 < cut < len(ranking) and scores.values[ranking[cut]] == scores.values[ranking[cut - 1]]:
        cut += 1
    return cut


def settings_for(rule: str, scores: "Scores", order: Order, cut: int) -> dict:
    """The view's fields with which a rule takes the first `cut` heads of its order.

    A threshold lies halfway between the last head that it takes and the next one, so that rounding
    changes nothing.
    """
    cut = min(max(cut, order.least), len(order.heads))
    if rule == "fraction":
        return {"fraction": max(cut / scores.values.numel(), SMALLEST_SHARE)}
    if rule != "threshold":
        return {"k": cut}
    values = [scores.values[head].item() for head in order.heads]
    cut = tied(scores, list(order.heads), cut, rule)
    low, high = values[-1], values[0]
    threshold = low if cut == len(values) else (values[cut - 1] + values[cut]) / 2
    return {"threshold_level": (threshold - low) / (high - low) if high > low else 0.0}


def edits_of(change: Mapping, shape: tuple[int, int]) -> dict[str, frozenset[Head]]:
    """The edits by hand in a message from the browser, heads that the model does not have left
    out.
    """
    layers, heads = shape

    def read(name: str) -> frozenset[Head]:
        pairs = {(int(layer), int(head)) for layer, head in change.get(name, ())}
        return frozenset(
            (layer, head) for layer, head in pairs if 0 <= layer < layers and 0 <= head < heads
        )

    return {"added": read("added"), "removed": read("removed")}
