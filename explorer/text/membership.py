"""Why a head is in the circuit, or what would bring it in, as a plain sentence; no streamlit.

Everything is read off the circuit's own rule, the scores it was chosen by and the hand edits.
"""

import math
from collections.abc import Callable

from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import LOGITS, Circuit
from ctsft.utils.format import head_name, number


def sentence(scores: Scores, circuit: Circuit, head: Head) -> str:
    """In or out, by which rule or hand, and how far from the other side."""
    ranking = scores.ranking()
    if head in circuit.added:
        return (
            "In: added by hand. The rule alone leaves it out:"
            f" {outside(scores, circuit, head, ranking)}."
        )
    if head in circuit.removed:
        return (
            "Out: removed by hand. The rule alone keeps it:"
            f" {inside(scores, circuit, head, ranking)}."
        )
    if head in circuit.heads:
        return f"In: {inside(scores, circuit, head, ranking)}."
    return f"Out: {outside(scores, circuit, head, ranking)}."


def inside(scores: Scores, circuit: Circuit, head: Head, ranking: list[Head]) -> str:
    known = RULES.get(circuit.rule.get("name"))
    return (
        (known and known(scores, circuit.rule, head, ranking, True))
        or found(circuit, head)
        or circuit.why.get(head)
        or "no reason is kept"
    )


def outside(scores: Scores, circuit: Circuit, head: Head, ranking: list[Head]) -> str:
    if circuit.rule.get("name") == "discover":
        first = sum(target == LOGITS for _, target, _ in circuit.edges)
        place = (
            f"rank {ranking.index(head) + 1} by the scores shown"
            if head in ranking
            else "without a score"
        )
        return (
            f"no discovery iteration kept it ({place}; iteration 0 kept {first}); a larger"
            " share may"
        )
    if head not in ranking:
        return "it has no score"
    known = RULES.get(circuit.rule.get("name"))
    return (
        known and known(scores, circuit.rule, head, ranking, False)
    ) or "its rule does not keep it"


def found(circuit: Circuit, head: Head) -> str:
    """The discovery iteration that kept a head, and the target it does most for; "" for other
    circuits.
    """
    own = sorted(
        ((value, target) for source, target, value in circuit.edges if source == head),
        key=lambda edge: -edge[0],
    )
    if circuit.rule.get("name") != "discover" or not circuit.why.get(head):
        return ""
    words = circuit.why[head].replace("iteration", "discovery iteration", 1)
    later = [(value, target) for value, target in own if target != LOGITS]
    if not later:
        return words
    others = f", of {len(later)} targets" if len(later) > 1 else ""
    relevance, target = later[0]
    return f"{words}; chosen most for {head_name(target)} (relevance {number(relevance)}{others})"


def top(scores: Scores, rule: dict, head: Head, ranking: list[Head], is_in: bool) -> str:
    rank = ranking.index(head) + 1
    if rule.get("k") is None:
        return fraction(scores, rule, head, ranking, is_in)
    place = f"score {number(scores.values[head].item())} is rank {rank} of {len(ranking)}"
    return (
        f"{place}, and the rule keeps the first {rule['k']}"
        if is_in
        else f"{place}; it enters at k = {rank}"
    )


def fraction(scores: Scores, rule: dict, head: Head, ranking: list[Head], is_in: bool) -> str:
    rank, n = ranking.index(head) + 1, scores.values.numel()
    place = f"score {number(scores.values[head].item())} is rank {rank} of {len(ranking)}"
    if is_in:
        return (
            f"{place}, and a share of {rule['fraction']:.0%} keeps the first"
            f" {max(1, int(rule['fraction'] * n + 1e-9))}"
        )
    return f"{place}; it enters at a share of {math.ceil(100 * rank / n - 1e-9)} %"


def threshold(scores: Scores, rule: dict, head: Head, ranking: list[Head], is_in: bool) -> str:
    value, cut = scores.values[head].item(), rule["threshold"]
    where = (
        f"score {number(value)} is {number(abs(value - cut))} {'above' if is_in else 'below'} the"
        f" threshold of {number(cut)}"
    )
    rank = f"rank {ranking.index(head) + 1} of {len(ranking)}"
    return f"{where} ({rank})" if is_in else f"{where} ({rank}); it enters at {number(value)}"


def least(scores: Scores, rule: dict, head: Head, ranking: list[Head], is_in: bool) -> str:
    return placed(rule, len(ranking) - ranking.index(head), "from the bottom", scores, head, is_in)


def near_zero(scores: Scores, rule: dict, head: Head, ranking: list[Head], is_in: bool) -> str:
    order = sorted(ranking, key=lambda one: (abs(scores.values[one].item()), one))
    return placed(rule, order.index(head) + 1, "by closeness to zero", scores, head, is_in)


def placed(rule: dict, rank: int, words: str, scores: Scores, head: Head, is_in: bool) -> str:
    place = f"score {number(scores.values[head].item())} is rank {rank} {words}"
    return (
        f"{place}, and this control keeps the first {rule.get('k')}"
        if is_in
        else f"{place}; it enters at k = {rank}"
    )


def drawn(scores: Scores, rule: dict, head: Head, ranking: list[Head], is_in: bool) -> str:
    k, n = rule.get("k"), scores.values.numel()
    return (
        f"seed {rule.get('seed', 0)} {'drew it' if is_in else 'did not draw it'}; each head had a"
        f" chance of {k} in {n}"
    )


RULES: dict[str, Callable[[Scores, dict, Head, list[Head], bool], str]] = {
    "top": top,
    "fraction": fraction,
    "threshold": threshold,
    "least": least,
    "near_zero": near_zero,
    "random": drawn,
    "all": lambda *_: "this rule keeps every head",
    "none": lambda *_: (
        "this rule keeps no head; a click on the map, or a tick in the table, adds it"
    ),
}
