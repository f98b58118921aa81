"""The top heads of mean ablation with a stated confidence, at a fraction of a full pass.

Integrated gradients in nine steps estimate the effect of every head on every example. Ablating
single heads on single examples then measures how far the estimate is off, and the estimate is
corrected by the mean difference (a control variate). Every head is ablated on one example, drawn
at random; heads and examples race (successive elimination; Maron & Moore 1997): heads that may
still stand on the other side of the cutoff get half as many examples again, look after look, until
all are decided or the budget is used. A head that was ablated on every example is known exactly, so
near ties end there. Where far more is open than the budget can decide, the race would end with a
little known of every head: then the most doubtful heads are ablated on every example, a few at a
time, and corrections of the others count less the fewer their examples are (not where the heads are
certified after all).

The bound of a head: with n of N examples drawn without replacement, the corrected mean has the
variance s2 (1/n - 1/N) (finite population). s2 is moderated (Smyth 2004): the variance of the
head's differences (about zero while there is one), with a prior worth `PRIOR_DEGREES` examples: the
mean square of all differences relative to the size of the head's estimates, the largest twentieth
cut to the next smaller one. With Student's t for its degrees of freedom this gives the chance that
a head stands on the wrong side of the best threshold between rank k and k + 1. The result is
certified when the sum over all heads is at most 1 - `CONFIDENCE`, divided by the number of looks.
This assumes differences that are about normal within a head.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from scipy.special import stdtr

CONFIDENCE = 0.95
STEPS = 9  # of integrated gradients
ESTIMATE_PASSES = 3.0 * STEPS  # forward passes; a backward pass counts as two
LEAST_BUDGET = 60.0  # forward passes over all examples
BUDGET_SHARE = 0.22  # of a full pass, where that is more
LOOKS = 10
PRIOR_DEGREES = 4
CUT_SHARE = 0.05  # of the differences, the largest, are no part of the prior as they are
THRESHOLDS = 25  # that are tried between rank k and k + 1
HOPELESS = 3.5  # times what is left of the budget, to ablate every open head on every example
WHOLE_HEADS = 4  # that are ablated on every example at a time, where the race is hopeless
UNSEEN_EXAMPLES = 3.0  # without a difference, that a correction counts then beside its own
NAMED = 6  # doubtful heads, at most, in a sentence

# effects of ablating heads (bool [layer, head]) on some rows; [example, layer, head], NaN elsewhere
Measure = Callable[[list[int], torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Certificate:
    """Whether the best `k` heads are those of the full pass, with which confidence, and the cost
    in forward passes over all examples; `full`: that of the full pass. `doubtful`: heads too close
    to the cutoff to be decided.
    """

    certified: bool
    k: int
    confidence: float
    passes: float
    full: float
    doubtful: tuple[tuple[int, int], ...] = ()
    lost: bool = False  # an effect of the doubtful heads was NaN or infinite

    def as_json(self) -> dict:
        return asdict(self)

    def sentence(self) -> str:
        cost = f"{self.passes:.1f} forward passes over the examples (full: {self.full:.0f})"
        if self.certified:
            return (
                f"Certified: the best {self.k} heads are those of full mean ablation on these"
                f" examples, with a confidence of at least {self.confidence:.0%}; {cost}."
            )
        names = [f"L{layer}.H{head}" for layer, head in self.doubtful[:NAMED]]
        more = " ..." if len(self.doubtful) > NAMED else ""
        if self.lost:
            return (
                f"Not certified: effects of {', '.join(names)}{more} are NaN or infinite; use more"
                " precise numbers (--dtype float32 or float64)."
            )
        return (
            f"Not certified: {', '.join(names)}{more} are too close to the cutoff after {cost}; the"
            f" confidence that the best {self.k} heads are those of full mean ablation is"
            f" {self.confidence:.0%}. Score with every head ablated to know."
        )


@dataclass(frozen=True)
class Race:
    """The state of the race. All arrays run over heads, layer after layer."""

    estimate: np.ndarray  # [example, head]
    measured: np.ndarray  # [example, head], NaN where a head was not ablated
    k: int
    unseen: float = 0.0  # `UNSEEN_EXAMPLES` where the race is hopeless

    @property
    def counts(self) -> np.ndarray:
        return (~np.isnan(self.measured)).sum(0)

    @property
    def corrections(self) -> np.ndarray:
        """How far the estimate is off, [head]: the mean over the measured examples."""
        counts = self.counts
        unseen = np.where(counts == len(self.estimate), 0.0, self.unseen)
        return np.nanmean(self.measured - self.estimate, 0) * counts / (counts + unseen)

    @property
    def effects(self) -> np.ndarray:
        """Corrected mean effects, [head]."""
        return self.estimate.mean(0) + self.corrections

    def inside(self) -> np.ndarray:
        """The best k, [head] bool; ties as in `Scores.ranking`."""
        inside = np.zeros(self.estimate.shape[1], bool)
        inside[np.argsort(-self.effects, kind="stable")[: self.k]] = True
        return inside

    def errors(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard error of each corrected mean, and the degrees of freedom; [head]."""
        n, counts = len(self.estimate), self.counts
        differences = self.measured - self.estimate
        size = (self.estimate**2).mean(0)
        # a head that the estimate misses altogether has no size of its own
        size = size + np.median(size) + 1e-24
        relative = differences**2 / size
        relative = np.minimum(relative, np.nanquantile(relative, 1 - CUT_SHARE))
        prior = np.nanmean(relative) * size
        centre = np.where(counts > 1, self.corrections, 0.0)
        squares = np.nansum((differences - centre) ** 2, 0)
        degrees = PRIOR_DEGREES + np.maximum(counts - 1, 1)
        variance = (PRIOR_DEGREES * prior + squares) / degrees
        return np.sqrt(variance * (1 / counts - 1 / n)), degrees

    def doubts(self) -> np.ndarray:
        """The chance that a head is on the wrong side of the cutoff, [head], for the threshold with
        the smallest sum.
        """
        effects, inside = self.effects, self.inside()
        if inside.all() or not inside.any():
            return np.zeros(len(effects))
        (errors, degrees), exact = self.errors(), self.counts == len(self.estimate)
        best = np.ones(len(effects))
        for threshold in np.linspace(effects[~inside].max(), effects[inside].min(), THRESHOLDS):
            gap = np.where(inside, effects - threshold, threshold - effects)
            chance = stdtr(degrees, -gap / np.maximum(errors, 1e-300))
            chance = np.where(exact, 0.0, chance)
            if chance.sum() < best.sum():
                best = chance
        return best


def budget_of(n_heads: int) -> float:
    """Forward passes that a certified pass may take."""
    return max(LEAST_BUDGET, BUDGET_SHARE * n_heads)


def certify(
    estimate: torch.Tensor, k: int, measure: Measure, seed: int = 0
) -> tuple[torch.Tensor, Certificate]:
    """Effects [example, layer, head] of which the best `k` are certified where the budget allows
    it, and the certificate. Where a head was not ablated, its effect is the corrected estimate.
    """
    n, layers, heads = estimate.shape
    n_heads = layers * heads
    full = n_heads + 1.0
    if n_heads <= ESTIMATE_PASSES:  # nothing to save
        every = torch.ones(layers, heads, dtype=torch.bool)
        effects = measure(list(range(n)), every)
        certificate = Certificate(True, k, 1.0, full, full)
        lost = np.flatnonzero(~effects.isfinite().all(0).flatten().numpy())
        return effects, without(certificate, lost.tolist(), heads)
    counter = _Counter(estimate, measure, np.random.default_rng(seed))
    race = Race(counter.estimate, np.full((n, n_heads), np.nan), k)
    wanted, allowed = np.ones(n_heads, int), (1 - CONFIDENCE) / LOOKS
    for look in range(1, LOOKS + 1):
        race = replace(race, measured=counter.extended(race.measured, wanted))
        doubts, counts = race.doubts(), race.counts
        if doubts.sum() <= allowed or look == LOOKS:
            break
        most = n if look == LOOKS - 1 else -(-3 * counts // 2)
        open_heads = (doubts > allowed / n_heads) & (counts < n)
        if 0 < HOPELESS * counter.left < (n - counts)[open_heads].sum():
            race = whole_heads(race, counter)
            plain = replace(race, unseen=0.0)
            doubts = plain.doubts()
            if doubts.sum() <= allowed:  # of these effects, not of the cautious ones
                race = plain
            break
        wanted = np.where(open_heads, np.clip(most, counts + 1, n), counts)
        wanted = counter.affordable(wanted, counts, doubts)
        if (wanted == counts).all():
            break
    doubtful = np.flatnonzero(doubts > allowed / n_heads)
    certificate = Certificate(
        bool(doubts.sum() <= allowed),
        k,
        1.0 if not doubts.any() else float(max(0.0, min(CONFIDENCE, 1 - LOOKS * doubts.sum()))),
        counter.passes,
        full,
        tuple(divmod(int(head), heads) for head in doubtful[np.argsort(-doubts[doubtful])]),
    )
    if certificate.certified:
        certificate = replace(certificate, doubtful=())
    certificate = without(certificate, sorted(counter.lost), heads)
    corrected = counter.estimate + race.corrections
    # with the measured effects in place the means are still the corrected ones
    filled = np.where(np.isnan(race.measured), corrected, race.measured)
    values = torch.from_numpy(filled).reshape(estimate.shape).to(estimate.dtype)
    return values, certificate


def whole_heads(race: Race, counter: "_Counter") -> Race:
    """The race after the most doubtful heads were ablated on every example, as far as the budget
    goes.
    """
    race, n = replace(race, unseen=UNSEEN_EXAMPLES), len(race.estimate)
    while True:
        counts, doubts, left = race.counts, race.doubts(), counter.left
        wanted = counts.copy()
        order = np.argsort(-np.where(counts < n, doubts, -1.0), kind="stable")
        for head in order[:WHOLE_HEADS]:
            if doubts[head] > 0 and n - counts[head] <= left:
                left -= n - counts[head]
                wanted[head] = n
        if (wanted == counts).all():
            return race
        race = replace(race, measured=counter.extended(race.measured, wanted))


def without(certificate: Certificate, lost: list[int], heads: int) -> Certificate:
    """The certificate where effects of some heads are NaN or infinite: nothing is certified then.
    lost: the heads' numbers, layer after layer; heads: in a layer.
    """
    if not lost:
        return certificate
    doubtful = tuple(divmod(int(head), heads) for head in lost)
    return replace(certificate, certified=False, confidence=0.0, doubtful=doubtful, lost=True)


class _Counter:
    """Ablates heads on examples, each head on examples of its own, and counts the cost."""

    def __init__(self, estimate: torch.Tensor, measure: Measure, draw: np.random.Generator):
        self.n, self.layers, self.heads = estimate.shape
        self.estimate = estimate.reshape(self.n, -1).double().numpy()
        self.measure = measure
        self.order = draw.permutation(self.n)
        n_heads = self.estimate.shape[1]
        self.start = draw.permutation(np.arange(n_heads) % self.n)  # in the order, [head]
        self.budget, self.passes = budget_of(n_heads), ESTIMATE_PASSES
        self.lost: set[int] = set()  # heads with an effect that is NaN or infinite

    @property
    def left(self) -> float:
        """How many more effects the budget allows."""
        return (self.budget - self.passes - 1) * self.n

    def rows(self, counts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Which examples are to come, [example, head] bool, to bring heads from `counts` to
        `wanted` examples.
        """
        place = np.empty(self.n, int)
        place[self.order] = np.arange(self.n)
        turn = (place[:, None] - self.start[None]) % self.n
        return (turn >= counts) & (turn < wanted)

    def extended(self, measured: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """The effects with those that are to come."""
        new = self.rows((~np.isnan(measured)).sum(0), wanted)
        measured = measured.copy()
        for row in np.flatnonzero(new.any(1)):
            heads = torch.from_numpy(new[row]).reshape(self.layers, self.heads)
            effects = self.measure([int(row)], heads)[row].reshape(-1).double().numpy()
            # an effect that is NaN or infinite was left out: the estimate stands
            self.lost |= set(np.flatnonzero(new[row] & ~np.isfinite(effects)).tolist())
            effects = np.where(np.isfinite(effects), effects, self.estimate[row])
            measured[row, new[row]] = effects[new[row]]
            self.passes += float(1 + new[row].sum()) / self.n
        return measured

    def affordable(self, wanted: np.ndarray, counts: np.ndarray, doubts: np.ndarray) -> np.ndarray:
        """`wanted`, for as many heads as the budget allows, the most doubtful first."""
        order = np.argsort(-doubts, kind="stable")
        cost = np.cumsum((wanted - counts)[order])
        allowed = np.zeros(len(order), bool)
        allowed[order] = cost <= self.left
        return np.where(allowed, wanted, counts)
