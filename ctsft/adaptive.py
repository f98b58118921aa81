"""The top heads at a fraction of a full pass: few examples for all heads, more only for those that may stand on either side of the cut.

Every head is scored exactly on a few examples, one of each label first. Heads whose interval, mean +- 3 standard errors, lies
clear of the cut between rank k and k + 1 are decided; the others get twice as many examples, and so on, until none is left
or all examples are used. Standard errors are those of a sample drawn without replacement from the pool (they reach 0 when
a head has seen all of it), so the set is the full pass's unless an interval was too short.
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


def errors(out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard error of each head over the examples it has, [layer, head], for drawing without replacement from all rows.

    A spread seen on few examples is not trusted to be small: it counts as at least what heads of larger scores show, in proportion.
    """
    values = out.double()
    count = (~values.isnan()).sum(0)
    mean = values.nanmean(0)
    spread = ((values - mean).square().nansum(0) / (count - 1).clamp(min=1)).sqrt()
    size = mean.abs()
    large = (count > 0) & (size >= size[count > 0].median())
    typical = (spread / size.clamp(min=1e-12))[large].median() * size
    spread = torch.where(count < 8, torch.maximum(spread, typical), spread)
    left = (1 - count / len(out)).clamp(min=0)
    return mean, spread * (left / count.clamp(min=1)).sqrt()


def undecided(mean: torch.Tensor, error: torch.Tensor, among: torch.Tensor, k: int) -> torch.Tensor:
    """Heads [layer, head] whose interval crosses the cut between the best k of `among` and the rest."""
    low, high = mean - Z * error, mean + Z * error
    order = torch.where(among, mean, -torch.inf).flatten().argsort(descending=True, stable=True)
    inside = torch.zeros_like(among).flatten()
    inside[order[:k]] = True
    inside = inside.view_as(among) & among
    rest = among & ~inside
    if not rest.any() or not inside.any():
        return torch.zeros_like(among)
    return ((inside & (low <= high[rest].max())) | (rest & (high >= low[inside].min()))) & (error > 0)


def confidence(mean: torch.Tensor, error: torch.Tensor, among: torch.Tensor, k: int) -> float:
    """At least how likely the best k are the full pass's: one minus the sum of each head's chance to stand on the other side (normal)."""
    ranked = mean[among].sort(descending=True).values
    if k >= len(ranked):
        return 1.0
    cut = (ranked[k - 1] + ranked[k]) / 2
    away = (mean - cut).abs()[among] / error[among].clamp(min=1e-12)
    return max(0.0, 1.0 - torch.special.ndtr(-away).sum().item())


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
    rows, done, size, open_heads = interleaved(labels), 0, min(n, max(FIRST, len(set(labels)))), sources
    while True:
        measure(rows[done:size], open_heads)
        done = size
        mean, error = errors(out)
        open_heads = undecided(mean, error, sources, k) & (out[rows[done - 1]].isfinite())
        if done == n or not open_heads.any():
            break
        size = min(n, 2 * done)
    cost = torch.tensor([work[layer] if layer < len(work) else 0 for layer in range(layers)])[:, None].double()
    counts = (~out.isnan()).sum(0)
    share = ((counts * cost).sum() / (n * (sources * cost).sum())).item()
    sure = confidence(mean, error, sources, k)
    few, many = counts[sources].min().item(), counts[sources].max().item()
    return (f"Adaptive: exact on {few} to {many} of {n} examples a head, {share:.0%} of the full pass; the best {k} are the full pass's with a "
            f"confidence of at least {min(sure, 0.999):.1%}.")
