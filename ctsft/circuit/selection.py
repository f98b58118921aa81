"""Rules that select a circuit's heads from their scores: threshold, top, fraction, and the controls."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit, shape_of
from ctsft.utils.errors import UserError


@dataclass(frozen=True)
class Selection:
    """Settings of a rule; each rule reads its own."""

    k: int | None = None
    fraction: float | None = None
    threshold: float | None = None
    seed: int = 0
    advice: Any = None  # `advise.Advice` or what is kept of it (`advised.Ranking`)

    def size(self, n_heads: int) -> int:
        """How many heads: k, or `max(1, floor(fraction * n_heads))`."""
        if self.k is not None:
            if not 0 <= self.k <= n_heads:
                raise UserError(
                    f"k is {self.k}, and the model has {n_heads} heads; choose 0 to {n_heads}."
                )
            return self.k
        if self.fraction is None:
            raise UserError(
                "This rule needs a size; give k=... (heads) or fraction=... (share of all heads)."
            )
        return share_of(self.fraction, n_heads)


def share_of(fraction: float, n_heads: int) -> int:
    if not 0 < fraction <= 1:
        raise UserError(
            f"fraction is {fraction}; choose a share of the heads above 0 and at most 1."
        )
    return max(1, int(fraction * n_heads + 1e-9))


def _top(scores: Scores, s: Selection) -> dict[Head, str]:
    return {
        head: f"rank {i + 1} by score"
        for i, head in enumerate(scores.ranking()[: s.size(scores.values.numel())])
    }


def _threshold(scores: Scores, s: Selection) -> dict[Head, str]:
    if s.threshold is None:
        raise UserError("The rule 'threshold' needs threshold=..., a score.")
    return {
        head: f"score at least {s.threshold:.3g}"
        for head in scores.ranking()
        if scores.values[head] >= s.threshold
    }


def _least(scores: Scores, s: Selection) -> dict[Head, str]:
    return {
        head: f"rank {i + 1} from the bottom"
        for i, head in enumerate(scores.ranking()[::-1][: s.size(scores.values.numel())])
    }


def _near_zero(scores: Scores, s: Selection) -> dict[Head, str]:
    order = sorted(scores.ranking(), key=lambda head: (abs(scores.values[head].item()), head))
    return {
        head: f"rank {i + 1} by closeness to zero"
        for i, head in enumerate(order[: s.size(scores.values.numel())])
    }


def _random(scores: Scores, s: Selection) -> dict[Head, str]:
    every = [
        (layer, head)
        for layer in range(scores.values.shape[0])
        for head in range(scores.values.shape[1])
    ]
    return dict.fromkeys(
        random.Random(s.seed).sample(every, s.size(len(every))), f"drawn with seed {s.seed}"
    )


def _advised(scores: Scores, s: Selection) -> dict[Head, str]:
    if s.advice is None:
        raise UserError(
            "The rule 'advised' cannot be read off relevance scores; give advice=..., which"
            " ctsft.advise_heads returns, or take the circuit.json of a finished `python -m ctsft"
            " advise`."
        )
    found = s.advice.circuit(s.size(scores.values.numel()))
    for name in ("model_type", "n_layers", "n_heads"):
        if name in found.model and found.model[name] != scores.about.get(name):
            raise UserError(
                f"This advice is of another model: its {name} is {found.model[name]!r} and the"
                f" scores' is {scores.about.get(name)!r}; take advice on the model that was scored."
            )
    return found.why


def _all(scores: Scores, s: Selection) -> dict[Head, str]:
    return {
        (layer, head): "every head"
        for layer in range(scores.values.shape[0])
        for head in range(scores.values.shape[1])
    }


RULES: dict[str, Callable[[Scores, Selection], dict[Head, str]]] = {
    "threshold": _threshold,
    "top": _top,
    "fraction": _top,
    "near_zero": _near_zero,
    "least": _least,
    "random": _random,
    "advised": _advised,
    "all": _all,
    "none": lambda scores, s: {},
}


def select(scores: Scores, rule: str = "top", **settings) -> Circuit:
    """A circuit by rule: threshold(threshold), top(k), fraction(fraction), near_zero, least,
    random(k or fraction, seed), all, none; advised(k or fraction, advice), which needs advice on
    the same model: relevance does not hold it.
    """
    if rule not in RULES:
        raise UserError(f"{rule!r} is not a selection rule; choose from {', '.join(RULES)}.")
    unknown = set(settings) - set(Selection.__dataclass_fields__)
    if unknown:
        raise UserError(
            f"{sorted(unknown)[0]!r} is not a setting of a rule; choose from"
            f" {', '.join(Selection.__dataclass_fields__)}."
        )
    chosen = Selection(**settings)
    why = RULES[rule](scores, chosen)
    words = {
        "name": rule,
        **{key: value for key, value in settings.items() if key != "advice"},
        "method": scores.method,
    }
    words |= {"advice": chosen.advice.circuit(0).rule} if chosen.advice is not None else {}
    return Circuit(frozenset(why), why, shape_of(scores.about), words)
