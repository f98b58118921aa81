"""A circuit and the rules that select it, in words."""

from ctsft.circuit.circuit import Circuit

RULES = {  # what `ctsft.select` knows -> its name on the page, and what it takes
    "top": ("Top k", "The k heads with the highest scores."),
    "threshold": (
        "Threshold",
        (
            "Every head that scores at least this much; the slider runs from the lowest score (0)"
            " to the highest (1)."
        ),
    ),
    "advised": (
        "Advised",
        (
            "The k heads from which the target wins most for what the source would lose (elastic"
            " weight consolidation, arXiv 1612.00796): see Which heads should move? on Relevance."
        ),
    ),
    "fraction": (
        "Share",
        "The highest-scoring share of all heads; the paper takes 2 % in each iteration.",
    ),
    "all": ("All", "Every head."),
    "none": ("None", "No head: start here to build a circuit by hand."),
    "near_zero": (
        "Near zero",
        "A control: the k heads whose scores are closest to zero, whatever their sign.",
    ),
    "least": ("Least relevant", "A control: the k heads with the lowest scores."),
    "random": ("Random", "A control: k heads drawn by chance. Another seed draws others."),
}

DISCOVERED = {
    "discover": (
        "Discovered",
        "The heads that the paper's iterations found: see Discovery below the map.",
    )
}

MOST_SEEDS = 10**6


def by_hand(circuit: Circuit) -> str:
    """The hand edits in force, in a sentence."""
    counts = [
        f"{len(heads)} {word}"
        for heads, word in ((circuit.added, "added"), (circuit.removed, "removed"))
        if heads
    ]
    return f"By hand: {' and '.join(counts)}." if counts else ""


def described(circuit: Circuit) -> str:
    """A circuit's size and rule, and what was done by hand."""
    rule = (RULES | DISCOVERED).get(circuit.rule.get("name"), ("of its own",))[0].lower()
    return f"{len(circuit)} {'head' if len(circuit) == 1 else 'heads'} · {rule}" + (
        f" · {by_hand(circuit)[:-1].lower()}" if by_hand(circuit) else ""
    )
