"""Rules that select a circuit's heads from their scores: threshold, top, fraction, and the controls
of the same size (random, least relevant, near zero; CT-SFT, arXiv 2601.08146).
"""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit, model_fields
from ctsft.utils.errors import UserError


@dataclass(frozen=True)
class Selection:
    """Settings of a rule; each rule reads those it needs."""

    k: int | None = None
    fraction: float | None = None
    threshold: float | None = None
    seed: int = 0
    # `head_advice.Advice`, or its saved form `advice_ranking.Ranking`
    advice: Any = None

    def size(self, n_heads: int) -> int:
        """How many heads: k, or `heads_in_fraction`. Raises UserError for a size that is missing or
        not possible.
        """
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
        return heads_in_fraction(self.fraction, n_heads)


def heads_in_fraction(fraction: float, n_heads: int) -> int:
    """`max(1, floor(fraction * n_heads))` (CT-SFT). Raises UserError outside (0, 1]."""
    if not 0 < fraction <= 1:
        raise UserError(
            f"fraction is {fraction}; choose a share of the heads above 0 and at most 1."
        )
    # 1e-9: for products that rounding brings just below a whole number
    return max(1, int(fraction * n_heads + 1e-9))


def _first(scores: Scores, heads: Iterable[Head], setting: Selection, by: str) -> dict[Head, str]:
    chosen = list(heads)[: setting.size(scores.values.numel())]
    return {head: f"rank {rank} {by}" for rank, head in enumerate(chosen, 1)}


def _all_heads(scores: Scores) -> list[Head]:
    layers, heads = scores.values.shape
    return [(layer, head) for layer in range(layers) for head in range(heads)]


def _top(scores: Scores, setting: Selection) -> dict[Head, str]:
    return _first(scores, scores.ranking(), setting, "by score")


def _threshold(scores: Scores, setting: Selection) -> dict[Head, str]:
    if setting.threshold is None:
        raise UserError("The rule 'threshold' needs threshold=..., a score.")
    if not math.isfinite(setting.threshold):
        raise UserError(f"threshold is {setting.threshold}; choose a score, which is finite.")
    chosen = [head for head in scores.ranking() if scores.values[head] >= setting.threshold]
    return dict.fromkeys(chosen, f"score at least {setting.threshold:.3g}")


def _least(scores: Scores, setting: Selection) -> dict[Head, str]:
    return _first(scores, scores.ranking()[::-1], setting, "from the bottom")


def _near_zero(scores: Scores, setting: Selection) -> dict[Head, str]:
    order = sorted(scores.ranking(), key=lambda head: (abs(scores.values[head].item()), head))
    return _first(scores, order, setting, "by closeness to zero")


def _random(scores: Scores, setting: Selection) -> dict[Head, str]:
    heads = _all_heads(scores)
    chosen = random.Random(setting.seed).sample(heads, setting.size(len(heads)))
    return dict.fromkeys(chosen, f"drawn with seed {setting.seed}")


def _advised(scores: Scores, setting: Selection) -> dict[Head, str]:
    if setting.advice is None:
        raise UserError(
            "The rule 'advised' cannot be computed from relevance scores; give advice=..., which"
            " ctsft.advise_heads returns, or use the circuit.json of a finished `python -m ctsft"
            " advise`."
        )
    circuit = setting.advice.circuit(setting.size(scores.values.numel()))
    for name in ("model_type", "n_layers", "n_heads"):
        if name in circuit.model and circuit.model[name] != scores.about.get(name):
            raise UserError(
                f"This advice belongs to another model: its {name} is {circuit.model[name]!r} and"
                f" the scores' is {scores.about.get(name)!r}; compute advice with the model that"
                " was scored."
            )
    return circuit.why


def _all(scores: Scores, setting: Selection) -> dict[Head, str]:
    return dict.fromkeys(_all_heads(scores), "every head")


def _none(scores: Scores, setting: Selection) -> dict[Head, str]:
    return {}


# each rule returns the chosen heads with the reason for each
RULES: dict[str, Callable[[Scores, Selection], dict[Head, str]]] = {
    "threshold": _threshold,
    "top": _top,
    "fraction": _top,
    "near_zero": _near_zero,
    "least": _least,
    "random": _random,
    "advised": _advised,
    "all": _all,
    "none": _none,
}


def select(scores: Scores, rule: str = "top", **settings) -> Circuit:
    """A circuit by a rule and the settings that it needs: threshold(threshold), top(k),
    fraction(fraction), near_zero, least and random(k or fraction; seed for random), all, none, and
    advised(k or fraction, advice), with advice on the same model.

    Raises UserError for an unknown rule or setting, and for a missing or impossible size.
    """
    if rule not in RULES:
        raise UserError(f"{rule!r} is not a selection rule; choose from {', '.join(RULES)}.")
    unknown = set(settings) - set(Selection.__dataclass_fields__)
    if unknown:
        raise UserError(
            f"{sorted(unknown)[0]!r} is not a setting of a rule; choose from"
            f" {', '.join(Selection.__dataclass_fields__)}."
        )
    selection = Selection(**settings)
    why = RULES[rule](scores, selection)
    record = {"name": rule, **settings, "method": scores.method}
    record.pop("advice", None)
    if selection.advice is not None:
        # of the advice only which rows it was computed on
        record["advice"] = selection.advice.circuit(0).rule
    return Circuit(frozenset(why), why, model_fields(scores.about), record)
