"""The top heads at a fraction of a full pass: few examples for all heads, more only for those that may stand on either side of the cut.

Every head is scored exactly on a few examples, one of each label first. A head is decided when its score differs by more than
3 standard errors from that of every head on the other side of the cut between rank k and k + 1; the others get half as many
examples more, and so on, until none is left or all examples are used. A head that no longer stands clear once others have moved is
taken up again. Heads are compared on the examples they share (a text that is hard for one is hard for the next, so differences vary
less than scores), or by their own means where that tells more. Standard errors are those of a sample drawn without replacement from
the pool (they reach 0 when all of it was seen), so the set is the full pass's unless an interval was too short.
"""
from collections.abc import Callable, Sequence
from itertools import zip_longest

import torch

Z = 3.0                                     # standard errors on either side
FIRST = 3                                   # examples that every head is scored on


def interleaved(labels: Sequence[str]) -> list[int]:
    """Row numbers, the labels taking turns."""
    by_label: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        by_label.setdefault(label, []).append(row)
    return [row for turn in zip_longest(*by_label.values()) for row in turn if row is not None]


def errors(values: torch.Tensor, rows: int, size: torch.Tensor | None = None, trust: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard error over the first dimension, NaN left out, for drawing without replacement from `rows`.

    A spread seen on fewer than 8 examples is not trusted to be small: it counts as at least `trust` times `size`.
    """
    count = (~values.isnan()).sum(0)
    mean = values.nanmean(0)
    spread = ((values - mean).square().nansum(0) / (count - 1).clamp(min=1)).sqrt()
    if trust is not None:
        spread = torch.where(count < 8, torch.maximum(spread, trust * size), spread)
    return mean, spread * ((1 - count / rows).clamp(min=0) / count.clamp(min=1)).sqrt()


def variation(values: torch.Tensor) -> float:
    """Spread over the examples by size of the mean, of a typical head among those with the larger scores."""
    mean, size = values.nanmean(0), values.nanmean(0).abs()
    known = ~mean.isnan()
    large = known & (size >= size[known].median())
    spread = ((values - mean).square().nansum(0) / ((~values.isnan()).sum(0) - 1).clamp(min=1)).sqrt()
    return (spread / size.clamp(min=1e-12))[large].median().item()


def apart(out: torch.Tensor, among: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """By how many standard errors each head of `among` [layer, head] stands clear of the nearest one on the other side of the cut (infinite
    where nothing can change any more), and which heads are the best `k`; both [head of `among`], in the order of `among`'s own."""
    values = out.double()[:, among]                                                        # [example, head]
    trust, rows = variation(values), len(out)
    mean, error = errors(values, rows, values.nanmean(0).abs(), trust)
    inside = torch.zeros_like(mean, dtype=torch.bool)
    inside[mean.argsort(descending=True, stable=True)[:k]] = True
    ins, outs, count = values[:, inside], values[:, ~inside], (~values.isnan()).sum(0)
    clear = torch.full_like(mean, torch.inf)
    if not ins.shape[1] or not outs.shape[1]:
        return clear, inside
    larger = torch.maximum(mean[inside].abs()[:, None], mean[~inside].abs()[None])
    differ, paired = errors(ins[:, :, None] - outs[:, None], rows, larger, trust)          # on the examples that both have seen; [in, out]
    alone = (error[inside][:, None].square() + error[~inside][None].square()).sqrt()
    gap, seen = mean[inside][:, None] - mean[~inside][None], (count[inside][:, None], count[~inside][None])
    known = (gap > 0) | ((seen[0] == rows) & (seen[1] == rows))                            # without a spread: sure, unless it is a tie

    def distance(gap, se):
        return torch.where(se > 0, gap / se.clamp(min=1e-300), torch.where(known, torch.inf, 0.0))
    distances = distance(differ, paired)
    distances = torch.where(seen[0] == seen[1], distances, torch.maximum(distances, distance(gap, alone)))
    clear[inside], clear[~inside] = distances.amin(1), distances.amin(0)
    return clear, inside


def narrow(out: torch.Tensor, labels: Sequence[str], k: int, work: Sequence[int], measure: Callable[[list[int], torch.Tensor], None],
           skip: Sequence[tuple[int, int]] = ()) -> str:
    """Fill `out` [example, layer, head] by `measure(rows, heads)` (heads: bool [layer, head]) until the best `k` are known.

    `work`: relative cost of a head of each layer; layers behind it are no sources. `skip`: heads that are kept already.
    Returns a sentence: what it cost and how sure it is.
    """
    n, layers, heads = out.shape
    sources = torch.zeros(layers, heads, dtype=torch.bool)
    sources[:len(work)] = True
    for head in skip:
        sources[tuple(head)] = False
    rows, open_heads, have = interleaved(labels), sources, torch.zeros(layers, heads, dtype=torch.long)
    while open_heads.any():
        for done in have[open_heads].unique().tolist():
            size, these = min(n, max(-(-3 * done // 2), FIRST, len(set(labels)))), open_heads & (have == done)
            measure(rows[done:size], these)
            have[these], open_heads = size, open_heads & ~these
        clear, _ = apart(out, sources, k)
        open_heads = torch.zeros_like(sources)
        open_heads[sources] = clear <= Z
        open_heads &= have < n
    cost = torch.tensor([work[layer] if layer < len(work) else 0 for layer in range(layers)])[:, None].double()
    counts = (~out.isnan()).sum(0)
    share = ((counts * cost).sum() / (n * (sources * cost).sum())).item()
    sure = max(0.0, 1.0 - torch.special.ndtr(-clear).sum().item())                         # each head's chance to stand on the other side
    few, many = counts[sources].min().item(), counts[sources].max().item()
    return (f"Adaptive: exact on {few} to {many} of {n} examples a head, {share:.0%} of the full pass; the best {k} are the full pass's with a "
            f"confidence of at least {min(sure, 0.999):.1%}.")
