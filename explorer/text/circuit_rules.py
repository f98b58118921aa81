"""The rules that select a circuit, and a circuit in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch: not for the first screen
    from ctsft.circuit.circuit import Circuit

RULES = {  # name in `ctsft.select` -> name on the page, and what it selects
    "top": ("Top k", "The k heads with the highest scores."),
    "threshold": (
        "Threshold",
        "All heads with at least this score. Drag the line under the map.",
    ),
    "advised": (
        "Advised",
        "The k heads with the highest gain for the target at equal loss for the source (elastic"
        " weight consolidation, arXiv 1612.00796). See *Which heads should be trained?* on"
        " Relevance.",
    ),
    "fraction": (
        "Share",
        "The highest-scoring share of all heads. The paper selects 2 % in each iteration.",
    ),
    "all": ("All", "All heads."),
    "none": ("None", "No heads: start here to build a circuit by hand."),
    "near_zero": (
        "Near zero",
        "A control: the k heads with scores closest to zero, of either sign.",
    ),
    "least": ("Least relevant", "A control: the k heads with the lowest scores."),
    "random": ("Random", "A control: k heads drawn at random. Another seed draws other heads."),
}

DISCOVERED = {
    "discover": (
        "Discovered",
        "The heads that the paper's iterations selected. See *Discovery* below the map.",
    )
}

MOST_SEEDS = 10**6


def hand_edits(circuit: Circuit) -> str:
    """How many heads were added and removed by hand, as a sentence; "" for none."""
    counts = [
        f"{len(heads)} {change}"
        for heads, change in ((circuit.added, "added"), (circuit.removed, "removed"))
        if heads
    ]
    return f"By hand: {' and '.join(counts)}." if counts else ""


def summary(circuit: Circuit) -> str:
    """Size, rule and hand edits, such as "6 heads · top k · by hand: 1 added"."""
    rules = RULES | DISCOVERED
    rule = rules.get(circuit.rule.get("name"), ("from a file",))[0].lower()
    parts = [f"{len(circuit)} {'head' if len(circuit) == 1 else 'heads'}", rule]
    edits = hand_edits(circuit)
    if edits:
        parts.append(edits.removesuffix(".").lower())
    return " · ".join(parts)
