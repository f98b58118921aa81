"""Why a head is in the circuit, or what would bring it in, as a plain sentence.

Everything is read from the circuit's rule, the scores it was selected by and the hand edits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import LOGITS, Circuit
from ctsft.utils.format import head_name, number


@dataclass(frozen=True)
class Place:
    """A head among all heads, and the settings of the rule that selects from them."""

    scores: Scores
    rule: dict
    head: Head
    ranking: list[Head]  # from the highest to the lowest score

    @property
    def rank(self) -> int:
        return self.ranking.index(self.head) + 1

    @property
    def score(self) -> float:
        return self.scores.values[self.head].item()

    @property
    def text(self) -> str:
        return f"score {number(self.score)} is rank {self.rank} of {len(self.ranking)}"


def sentence(scores: Scores, circuit: Circuit, head: Head) -> str:
    """In or out, by which rule or by hand, and how far from the rule's cutoff."""
    place = Place(scores, circuit.rule, head, scores.ranking())
    if head in circuit.added:
        return f"In: added by hand. The rule alone does not select it: {why_out(place, circuit)}."
    if head in circuit.removed:
        return f"Out: removed by hand. The rule alone selects it: {why_in(place, circuit)}."
    if head in circuit.heads:
        return f"In: {why_in(place, circuit)}."
    return f"Out: {why_out(place, circuit)}."


def why_in(place: Place, circuit: Circuit) -> str:
    explain = RULES.get(circuit.rule.get("name"))
    return (
        (explain and explain(place, True))
        or discovery_reason(circuit, place.head)
        or circuit.why.get(place.head)
        or "no reason is stored"
    )


def why_out(place: Place, circuit: Circuit) -> str:
    if circuit.rule.get("name") == "discover":
        return not_discovered(place, circuit)
    if place.head not in place.ranking:
        return "it has no score"
    explain = RULES.get(circuit.rule.get("name"))
    return (explain and explain(place, False)) or "its rule does not select it"


def not_discovered(place: Place, circuit: Circuit) -> str:
    first = sum(target == LOGITS for _, target, _ in circuit.edges)
    rank = "without a score"
    if place.head in place.ranking:
        rank = f"rank {place.rank} by the scores shown"
    return (
        f"no discovery iteration selected it ({rank}; iteration 0 selected {first}); a larger share"
        " may"
    )


def discovery_reason(circuit: Circuit, head: Head) -> str:
    """The discovery iteration that selected a head, and the target with its highest relevance; ""
    for other circuits.
    """
    if circuit.rule.get("name") != "discover" or not circuit.why.get(head):
        return ""
    reason = circuit.why[head].replace("iteration", "discovery iteration", 1)
    edges = sorted(
        ((value, target) for source, target, value in circuit.edges if source == head),
        key=lambda edge: -edge[0],
    )
    to_heads = [(value, target) for value, target in edges if target != LOGITS]
    if not to_heads:
        return reason
    value, target = to_heads[0]
    others = f", of {len(to_heads)} targets" if len(to_heads) > 1 else ""
    return f"{reason}; most relevant for {head_name(target)} (relevance {number(value)}{others})"


def top(place: Place, is_in: bool) -> str:
    if place.rule.get("k") is None:
        return fraction(place, is_in)
    if is_in:
        return f"{place.text}, and the rule selects the first {place.rule['k']}"
    return f"{place.text}; it enters at k = {place.rank}"


def fraction(place: Place, is_in: bool) -> str:
    share, n = place.rule["fraction"], place.scores.values.numel()
    if is_in:
        count = max(1, int(share * n + 1e-9))
        return f"{place.text}, and a share of {share:.0%} selects the first {count}"
    return f"{place.text}; it enters at a share of {math.ceil(100 * place.rank / n - 1e-9)} %"


def threshold(place: Place, is_in: bool) -> str:
    cutoff = place.rule["threshold"]
    side = "above" if is_in else "below"
    text = (
        f"score {number(place.score)} is {number(abs(place.score - cutoff))} {side} the threshold"
        f" of {number(cutoff)} (rank {place.rank} of {len(place.ranking)})"
    )
    return text if is_in else f"{text}; it enters at {number(place.score)}"


def least(place: Place, is_in: bool) -> str:
    rank = len(place.ranking) - place.ranking.index(place.head)
    return control(place, is_in, rank, "from the bottom")


def near_zero(place: Place, is_in: bool) -> str:
    order = sorted(place.ranking, key=lambda head: (abs(place.scores.values[head].item()), head))
    return control(place, is_in, order.index(place.head) + 1, "by closeness to zero")


def control(place: Place, is_in: bool, rank: int, order: str) -> str:
    text = f"score {number(place.score)} is rank {rank} {order}"
    if is_in:
        return f"{text}, and this control selects the first {place.rule.get('k')}"
    return f"{text}; it enters at k = {rank}"


def random(place: Place, is_in: bool) -> str:
    k, n = place.rule.get("k"), place.scores.values.numel()
    drawn = "drew it" if is_in else "did not draw it"
    return f"seed {place.rule.get('seed', 0)} {drawn}; each head had a chance of {k} in {n}"


def every_head(place: Place, is_in: bool) -> str:
    return "this rule selects every head"


def no_head(place: Place, is_in: bool) -> str:
    return "this rule selects no head; a click on the map, or a tick in the table, adds it"


RULES: dict[str, Callable[[Place, bool], str]] = {
    "top": top,
    "fraction": fraction,
    "threshold": threshold,
    "least": least,
    "near_zero": near_zero,
    "random": random,
    "all": every_head,
    "none": no_head,
}
