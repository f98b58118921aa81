"""The top heads at a fraction of a full pass: few examples for all heads, more only for those that
may stand on either side of the cut.

Every head is scored exactly on a few examples, one of each label first. A head is decided when its
score differs by more than 3 standard errors from that of every head on the other side of the cut
between rank k and k + 1; the others get half as many examples more, and so on, until none is left
or all examples are used. Where a few uncertain heads keep many others undecided, the few go first.
A head that no longer stands clear once others have moved is taken up again. Heads are compared on
the examples they share (a text that is hard for one is hard for the next, so differences vary less
than scores), or by their own means where that tells more. Standard errors are those of a sample
drawn without replacement from the pool (they reach 0 when all of it was seen), so the set is the
full pass's unless an interval was too short.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest

import torch

Z = 3.0  # standard errors on either side
FIRST = 3  # examples that every head is scored on
# heads that settle every doubt at this share of the price of all that are in doubt go first
FEW = 0.1


def interleaved(labels: Sequence[str]) -> list[int]:
    """Row numbers, the labels taking turns."""
    by_label: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        by_label.setdefault(label, []).append(row)
    return [row for turn in zip_longest(*by_label.values()) for row in turn if row is not None]


def errors(
    values: torch.Tensor, rows: int, size: torch.Tensor | None = None, trust: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard error over the first dimension, NaN left out, for drawing without
    replacement from `rows`.

    A spread seen on fewer than 8 examples is not trusted to be small: it counts as at least `trust`
    times `size`.
    """
    count = (~values.isnan()).sum(0)
    mean = values.nanmean(0)
    spread = ((values - mean).square().nansum(0) / (count - 1).clamp(min=1)).sqrt()
    if trust is not None:
        spread = torch.where(count < 8, torch.maximum(spread, trust * size), spread)
    return mean, spread * ((1 - count / rows).clamp(min=0) / count.clamp(min=1)).sqrt()


def variation(values: torch.Tensor) -> float:
    """Spread over the examples by size of the mean, of a typical head among those with the larger
    scores.
    """
    mean, size = values.nanmean(0), values.nanmean(0).abs()
    known = ~mean.isnan()
    large = known & (size >= size[known].median())
    spread = (
        (values - mean).square().nansum(0) / ((~values.isnan()).sum(0) - 1).clamp(min=1)
    ).sqrt()
    return (spread / size.clamp(min=1e-12))[large].median().item()


def apart(out: torch.Tensor, among: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """By how many standard errors the heads of `among` [layer, head] on one side of the cut stand
    clear of those on the other, [in, out] (infinite where nothing can change any more), and
    which are the best `k`, [head of `among`], both in the order of `among`'s own.
    """
    # [example, head]
    values = out.double()[:, among]
    trust, rows = variation(values), len(out)
    mean, error = errors(values, rows, values.nanmean(0).abs(), trust)
    inside = torch.zeros_like(mean, dtype=torch.bool)
    inside[mean.argsort(descending=True, stable=True)[:k]] = True
    ins, outs, count = values[:, inside], values[:, ~inside], (~values.isnan()).sum(0)
    larger = torch.maximum(mean[inside].abs()[:, None], mean[~inside].abs()[None])
    # on the examples that both have seen; [in, out]
    differ, paired = errors(ins[:, :, None] - outs[:, None], rows, larger, trust)
    alone = (error[inside][:, None].square() + error[~inside][None].square()).sqrt()
    gap, seen = (
        mean[inside][:, None] - mean[~inside][None],
        (
            count[inside][:, None],
            count[~inside][None],
        ),
    )
    # without a spread: sure, unless it is a tie
    known = (gap > 0) | ((seen[0] == rows) & (seen[1] == rows))

    def distance(gap, se):
        return torch.where(se > 0, gap / se.clamp(min=1e-300), torch.where(known, torch.inf, 0.0))

    together = distance(differ, paired)
    return (
        torch.where(seen[0] == seen[1], together, torch.maximum(together, distance(gap, alone))),
        inside,
    )


def nearest(distances: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Each head's distance to the nearest one on the other side; infinite where there is none."""
    clear = torch.full(inside.shape, torch.inf, dtype=distances.dtype)
    if distances.numel():
        clear[inside], clear[~inside] = distances.amin(1), distances.amin(0)
    return clear


def cover(doubts: torch.Tensor, inside: torch.Tensor, price: torch.Tensor) -> torch.Tensor:
    """Heads, [head], of which every doubt [in, out] has one, cheap ones: again and again the head
    with most doubts for its price. An infinite price rules a head out, and doubts between two
    such heads with it.
    """
    ins, outs = inside.nonzero().flatten(), (~inside).nonzero().flatten()
    left, chosen = (
        doubts & (price[ins].isfinite()[:, None] | price[outs].isfinite()[None]),
        torch.zeros_like(inside),
    )
    while left.any():
        worth = torch.zeros_like(price)
        worth[ins], worth[outs] = left.sum(1) / price[ins], left.sum(0) / price[outs]
        best = worth.argmax()
        chosen[best] = True
        left &= ~(chosen[ins][:, None] | chosen[outs][None])
    return chosen


def next_size(done: int, least: int, n: int) -> int:
    """Examples of a head that was scored on `done` and is in doubt: half as many more."""
    return min(n, max(-(-3 * done // 2), least))


def narrow(
    out: torch.Tensor,
    labels: Sequence[str],
    k: int,
    work: Sequence[int],
    measure: Callable[[list[int], torch.Tensor], None],
    skip: Sequence[tuple[int, int]] = (),
) -> str:
    """Fill `out` [example, layer, head] by `measure(rows, heads)` (heads: bool [layer, head]) until
    the best `k` are known.

    `work`: relative cost of a head of each layer; layers behind it are no sources. `skip`: heads
    that are kept already. Returns a sentence: what it cost and how sure it is.
    """
    n, layers, heads = out.shape
    sources = torch.zeros(layers, heads, dtype=torch.bool)
    sources[: len(work)] = True
    for head in skip:
        sources[tuple(head)] = False
    rows, open_heads, have = (
        interleaved(labels),
        sources.clone(),
        torch.zeros(layers, heads, dtype=torch.long),
    )
    each, least = torch.tensor(work).double()[sources.nonzero()[:, 0]], max(FIRST, len(set(labels)))
    while open_heads.any():
        for done in have[open_heads].unique().tolist():
            size, these = next_size(done, least, n), open_heads & (have == done)
            measure(rows[done:size], these)
            have[these], open_heads = size, open_heads & ~these
        distances, inside = apart(out, sources, k)
        clear, seen = nearest(distances, inside), have[sources]
        doubtful, more = (
            (clear <= Z) & (seen < n),
            torch.tensor([next_size(done, least, n) - done for done in seen.tolist()]),
        )
        few = cover(distances <= Z, inside, (each * more).masked_fill(seen == n, torch.inf))
        open_heads[sources] = (
            few if (each * more)[few].sum() < FEW * (each * more)[doubtful].sum() else doubtful
        )
    cost = torch.tensor([work[layer] if layer < len(work) else 0 for layer in range(layers)])[
        :, None
    ].double()
    counts = (~out.isnan()).sum(0)
    share = ((counts * cost).sum() / (n * (sources * cost).sum())).item()
    # each head's chance to stand on the other side
    sure = max(0.0, 1.0 - torch.special.ndtr(-clear).sum().item())
    few, many = counts[sources].min().item(), counts[sources].max().item()
    return (
        f"Adaptive: exact on {few} to {many} of {n} examples a head, {share:.0%} of the full pass;"
        f" the best {k} are the full pass's with a confidence of at least {min(sure, 0.999):.1%}."
    )
