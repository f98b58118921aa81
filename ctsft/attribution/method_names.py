"""How the scoring methods of `methods` are named to readers; nothing here imports torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MethodNames:
    """Of a way to score heads."""

    label: str
    hint: str  # what kind of score it is, in a few words
    unit: str  # of a score, with what the number means
    description: str  # one sentence, with its source


NAMES: dict[str, MethodNames] = {
    "cdt": MethodNames(
        label="CD-T",
        hint="decomposition",
        unit="relevance (logits)",
        description=(
            "CD-T (contextual decomposition for transformers) splits a head's output into its mean"
            " and the rest, and follows both parts to the logits (CD-T, arXiv 2407.00886)."
        ),
    ),
    "atp": MethodNames(
        label="Attribution patching",
        hint="fast estimate",
        unit="attribution (logits)",
        description=(
            "Attribution patching estimates from one gradient what replacing each head by its mean"
            " would change (Syed et al. 2023, arXiv 2310.10348)."
        ),
    ),
    "ig": MethodNames(
        label="Integrated gradients",
        hint="closer estimate",
        unit="attribution (logits)",
        description=(
            "Integrated gradients estimate the same from five passes: the gradient at the head's"
            " value and at a third of the way to it from its mean, some heads at a time (after"
            " Sundararajan et al. 2017, arXiv 1703.01365)."
        ),
    ),
    "ablation": MethodNames(
        label="Mean ablation",
        hint="causal",
        unit="drop if ablated (logits)",
        description=(
            "Mean ablation replaces a head by its mean and measures the drop: the causal test"
            " (Wang et al. 2022, arXiv 2211.00593)."
        ),
    ),
    "learned": MethodNames(
        label="Learned gates",
        hint="one ranking",
        unit="mean gate (0 to 1)",
        description=(
            "Learned gates rank heads by gradient descent: for random circuit sizes, the first"
            " heads of the ranking stay open and the others give their mean, and the ranking"
            " changes until such circuits do what the model does (after Matryoshka Attribution,"
            " arXiv 2609.25518)."
        ),
    ),
}
