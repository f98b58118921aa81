"""The top heads at a fraction of the cost of a full pass: few examples for all heads, more only for
heads that may be on either side of the cutoff between rank k and k + 1.

Every head is first scored exactly on a few examples, at least one of each label. A head is decided
when its score differs by more than 3 standard errors from that of every head on the other side of
the cutoff. The others get half as many examples again, and so on, until every head is decided or
all examples are used. Where a few uncertain heads keep many others undecided, the few go first. A
head that is no longer clearly above or below the cutoff, because others have changed, becomes
undecided again.

Heads are compared on the examples they share, or by their own means where that says more: a text
that is hard for one head is hard for the next, so differences vary less than scores. Standard
errors are those of a sample drawn without replacement from the pool; they are 0 when all of it was
used. So the result is the top k of the full pass unless an interval was too short.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch

DECIDED = 3.0  # standard errors between a head and those on the other side of the cutoff
FIRST_EXAMPLES = 3  # on which every head is scored
# heads that settle every doubt go first if they cost less than this share of all undecided ones
CHEAP_SHARE = 0.1
# the spread over fewer examples is not trusted to be small
TRUSTED_EXAMPLES = 8

# scores of some rows and heads (bool [layer, head]); [example, layer, head], NaN elsewhere
Measure = Callable[[list[int], torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TopHeadsSearch:
    """What is searched: the best `k` heads over examples with these `labels`.

    `shape`: layers, heads in a layer. `blocks`: the relative cost of scoring a head of each layer;
    heads of later layers are no candidates. `skip`: heads that need no rank.
    """

    labels: Sequence[str]
    shape: tuple[int, int]
    k: int
    blocks: Sequence[int]
    skip: Sequence[tuple[int, int]] = ()

    @property
    def candidates(self) -> torch.Tensor:
        """[layer, head] bool."""
        candidates = torch.zeros(self.shape, dtype=torch.bool)
        candidates[: len(self.blocks)] = True
        for head in self.skip:
            candidates[tuple(head)] = False
        return candidates


def find_top_heads(search: TopHeadsSearch, measure: Measure) -> tuple[torch.Tensor, str]:
    """Scores [example, layer, head], NaN where none was measured, of which the best `k` are known;
    and a sentence on the cost and the confidence.
    """
    n, (layers, heads) = len(search.labels), search.shape
    candidates, rows = search.candidates, interleave_labels(search.labels)
    scores = torch.full((n, layers, heads), float("nan"))
    counts = torch.zeros(layers, heads, dtype=torch.long)
    least = max(FIRST_EXAMPLES, len(set(search.labels)))
    price = torch.tensor(search.blocks).double()[candidates.nonzero()[:, 0]]
    pending = candidates.clone()
    while pending.any():
        for count in counts[pending].unique().tolist():
            chosen = pending & (counts == count)
            size = next_count(count, least, n)
            measured = measure(rows[count:size], chosen)
            scores = torch.where(measured.isnan(), scores, measured)
            counts[chosen] = size
            pending = pending & ~chosen
        distances, inside = separation(scores, candidates, search.k)
        seen = counts[candidates]
        more = torch.tensor([next_count(count, least, n) - count for count in seen.tolist()])
        pending[candidates] = undecided(distances, inside, price * more, seen == n)
    clear = nearest_distance(distances, inside)
    return scores, summary(search, scores, clear)


def undecided(
    distances: torch.Tensor, inside: torch.Tensor, price: torch.Tensor, complete: torch.Tensor
) -> torch.Tensor:
    """The candidates to score on more examples, [candidate] bool: all undecided ones, or the few
    cheap ones that would settle every doubt. `price` of the next examples; `complete`: scored on
    all examples.
    """
    doubtful = (nearest_distance(distances, inside) <= DECIDED) & ~complete
    few = cover(distances <= DECIDED, inside, price.masked_fill(complete, torch.inf))
    return few if price[few].sum() < CHEAP_SHARE * price[doubtful].sum() else doubtful


def interleave_labels(labels: Sequence[str]) -> list[int]:
    """Row numbers, in an order in which the labels alternate."""
    by_label: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        by_label.setdefault(label, []).append(row)
    return [row for turn in zip_longest(*by_label.values()) for row in turn if row is not None]


def next_count(count: int, least: int, n: int) -> int:
    """On how many examples an undecided head that was scored on `count` is scored next."""
    return min(n, max(-(-3 * count // 2), least))


def standard_deviation(values: torch.Tensor) -> torch.Tensor:
    """Over the first dimension, without NaN; divisor count - 1."""
    count = (~values.isnan()).sum(0)
    squares = (values - values.nanmean(0)).square().nansum(0)
    return (squares / (count - 1).clamp(min=1)).sqrt()


def standard_errors(
    values: torch.Tensor,
    pool_size: int,
    size: torch.Tensor | None = None,
    variation: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard error over the first dimension, without NaN, for a sample drawn without
    replacement from `pool_size` examples.

    With `variation`, the deviation of fewer than `TRUSTED_EXAMPLES` examples counts as at
    least `variation * size`.
    """
    count = (~values.isnan()).sum(0)
    deviation = standard_deviation(values)
    if variation is not None:
        least = torch.maximum(deviation, variation * size)
        deviation = torch.where(count < TRUSTED_EXAMPLES, least, deviation)
    unseen = (1 - count / pool_size).clamp(min=0)
    return values.nanmean(0), deviation * (unseen / count.clamp(min=1)).sqrt()


def typical_variation(values: torch.Tensor) -> float:
    """Standard deviation over the examples relative to the size of the mean: the median over the
    heads [example, head] with the larger half of the scores.
    """
    mean = values.nanmean(0)
    size, known = mean.abs(), ~mean.isnan()
    large = known & (size >= size[known].median())
    return (standard_deviation(values) / size.clamp(min=1e-12))[large].median().item()


def separation(
    scores: torch.Tensor, candidates: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """How clearly the best `k` candidates [layer, head] differ from the others.

    Returns the distance of each pair in standard errors, [inside, outside] (infinite where it
    cannot change any more), and which candidates are the best k, [candidate] bool.
    """
    # [example, candidate]
    values = scores.double()[:, candidates]
    variation, n = typical_variation(values), len(scores)
    mean, error = standard_errors(values, n, values.nanmean(0).abs(), variation)
    inside = torch.zeros_like(mean, dtype=torch.bool)
    inside[mean.argsort(descending=True, stable=True)[:k]] = True
    larger = torch.maximum(mean[inside].abs()[:, None], mean[~inside].abs()[None])
    # on the examples that both heads have, [inside, outside]
    paired = values[:, inside][:, :, None] - values[:, ~inside][:, None]
    difference, paired_error = standard_errors(paired, n, larger, variation)
    gap = mean[inside][:, None] - mean[~inside][None]
    own_error = (error[inside][:, None].square() + error[~inside][None].square()).sqrt()
    count = (~values.isnan()).sum(0)
    count_inside, count_outside = count[inside][:, None], count[~inside][None]
    # where nothing varies: certain, unless it is a tie that more examples may resolve
    certain = (gap > 0) | ((count_inside == n) & (count_outside == n))

    def distance(gap, error):
        without_error = torch.where(certain, torch.inf, 0.0)
        return torch.where(error > 0, gap / error.clamp(min=1e-300), without_error)

    on_shared = distance(difference, paired_error)
    best = torch.maximum(on_shared, distance(gap, own_error))
    return torch.where(count_inside == count_outside, on_shared, best), inside


def nearest_distance(distances: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """The distance of each candidate to the nearest on the other side; infinite where there is
    none.
    """
    nearest = torch.full(inside.shape, torch.inf, dtype=distances.dtype)
    if distances.numel():
        nearest[inside], nearest[~inside] = distances.amin(1), distances.amin(0)
    return nearest


def cover(doubts: torch.Tensor, inside: torch.Tensor, price: torch.Tensor) -> torch.Tensor:
    """Cheap candidates, [candidate] bool, of which every doubt [inside, outside] has one: again and
    again the candidate with most doubts for its price. An infinite price excludes a candidate, and
    doubts between two such candidates with it.
    """
    ins, outs = inside.nonzero().flatten(), (~inside).nonzero().flatten()
    remaining = doubts & (price[ins].isfinite()[:, None] | price[outs].isfinite()[None])
    chosen = torch.zeros_like(inside)
    while remaining.any():
        worth = torch.zeros_like(price)
        worth[ins], worth[outs] = remaining.sum(1) / price[ins], remaining.sum(0) / price[outs]
        chosen[worth.argmax()] = True
        remaining &= ~(chosen[ins][:, None] | chosen[outs][None])
    return chosen


def summary(search: TopHeadsSearch, scores: torch.Tensor, clear: torch.Tensor) -> str:
    """Cost and confidence in a sentence; `clear`: each candidate's distance to the other side."""
    n, layers = len(scores), len(scores[0])
    cost = torch.zeros(layers, 1, dtype=torch.double)
    cost[: len(search.blocks), 0] = torch.tensor(search.blocks).double()
    counts, candidates = (~scores.isnan()).sum(0), search.candidates
    share = ((counts * cost).sum() / (n * (candidates * cost).sum())).item()
    # the sum of the candidates' chances to belong to the other side
    confidence = max(0.0, 1.0 - torch.special.ndtr(-clear).sum().item())
    fewest, most = counts[candidates].min().item(), counts[candidates].max().item()
    return (
        f"Adaptive: exact on {fewest} to {most} of {n} examples a head, {share:.0%} of the cost of"
        f" the full pass; the best {search.k} heads are those of the full pass with a confidence of"
        f" at least {min(confidence, 0.999):.1%}."
    )
