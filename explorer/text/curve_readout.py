"""What a run's curves show so far, in one line; no streamlit."""

from collections.abc import Mapping

from explorer.text.markdown import literal
from explorer.text.run_names import display_name


def readout(evaluations: list[Mapping], target: str) -> str:
    """ "**Indonesian .67 → .55**, lowest .35 at step 12 · **English .33 → .51**": source and target
    from the first evaluation to the last, and the source's lowest point where it is between them;
    then the perplexity of texts, where it was measured. "" without evaluations.
    """
    if not evaluations:
        return ""
    source = next(iter(evaluations[0]["accuracy"]))
    parts = [change(evaluations, source)]
    if target != source and target in evaluations[0]["accuracy"]:
        parts.append(change(evaluations, target))
    parts += perplexities(evaluations)
    return " · ".join(parts)


def perplexities(evaluations: list[Mapping]) -> list[str]:
    """ "Perplexity of source texts 34.10 → 35.26", from the first evaluation to the last."""
    first, last = (row.get("perplexity") or {} for row in (evaluations[0], evaluations[-1]))
    return [
        f"Perplexity of {literal(name)} {first[name]['perplexity']:.2f} →"
        f" {last[name]['perplexity']:.2f}"
        for name in first
        if name in last
    ]


def change(evaluations: list[Mapping], language: str) -> str:
    points = [(row["accuracy"][language], row["step"]) for row in evaluations]
    (first, _), (last, _) = points[0], points[-1]
    text = f"**{literal(display_name(language))} {first:.2f} → {last:.2f}**"
    low, step = min(points)
    return f"{text}, lowest {low:.2f} at step {step}" if low < min(first, last) else text
