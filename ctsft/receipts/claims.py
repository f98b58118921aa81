"""What an artefact says, figure by figure, and what comes of computing it again."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from ctsft.receipts.evidence import NotRecomputable
from ctsft.utils.errors import cut

EQUAL, DIFFERENT, NOT_RECOMPUTABLE = "equal", "different", "not recomputable"
TOLERANCE = 1e-6
Value = float | int | str | bool | None | list | dict


@dataclass(frozen=True)
class Claim:
    """A figure at a place of an artefact. recompute: its value from what is stored elsewhere;
    raises NotRecomputable. structural: of the artefact as a whole, never left out of a sample.
    """

    where: str
    value: Value
    recompute: Callable[[], Value]
    structural: bool = False
    equal: Callable[[Value, Value], bool] | None = None


@dataclass(frozen=True)
class Verdict:
    where: str
    value: str
    recomputed: str
    state: str
    why: str = ""

    def as_dict(self) -> dict:
        return asdict(self)


def same(one: Value, other: Value) -> bool:
    """Equal texts, and numbers within `TOLERANCE`."""
    numbers = [isinstance(value, int | float) for value in (one, other)]
    if all(numbers):
        return abs(one - other) <= TOLERANCE or (one != one and other != other)
    return one == other


def fail(error: Exception) -> Callable[[], Value]:
    """A recomputation that raises the error."""

    def recompute() -> Value:
        raise error

    return recompute


def check(claim: Claim) -> Verdict:
    shown = cut(claim.value, 60)
    try:
        value = claim.recompute()
    except NotRecomputable as error:
        return Verdict(claim.where, shown, "", NOT_RECOMPUTABLE, str(error))
    except (ValueError, KeyError, TypeError, IndexError, ZeroDivisionError) as error:
        # stored files that contradict each other
        why = f"cannot be computed from the stored files: {cut(error)}"
        return Verdict(claim.where, shown, "", DIFFERENT, why)
    state = EQUAL if (claim.equal or same)(claim.value, value) else DIFFERENT
    return Verdict(claim.where, shown, cut(value, 60), state)


def drawn(claims: Iterable[Claim], sample: int | None, seed: int) -> list[Claim]:
    """All claims, or `sample` of the figures beside all structural ones."""
    claims = list(claims)
    if sample is None:
        return claims
    figures = [claim for claim in claims if not claim.structural]
    chosen = random.Random(seed).sample(range(len(figures)), min(sample, len(figures)))
    keep = {id(figures[i]) for i in chosen}
    return [claim for claim in claims if claim.structural or id(claim) in keep]


def counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    return {
        state: sum(verdict.state == state for verdict in verdicts)
        for state in (EQUAL, DIFFERENT, NOT_RECOMPUTABLE)
    }
