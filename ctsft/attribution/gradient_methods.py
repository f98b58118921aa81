"""Scores of all heads from gradients: attribution patching and integrated gradients.

Both are sums over positions of (z - mu) times a slope of the direction. Attribution patching (Syed
et al. 2023, arXiv 2310.10348) takes the slope at z. Integrated gradients (Sundararajan et al. 2017,
arXiv 1703.01365) take its mean along the head's path from mu to z.
"""

import zlib
from collections.abc import Iterator

import torch

from ctsft.attribution.scoring_batch import Part, ScoringBatch
from ctsft.model.attention import tapped

PATH_NODE = 1 / 3  # on the path from mu (0) to z (1)


def path_average(at_end: torch.Tensor, at_node: torch.Tensor) -> torch.Tensor:
    """The mean over the path from its values at the end z and at `PATH_NODE`: Gauss-Radau
    quadrature, exact for a cubic.
    """
    return at_end / 4 + at_node * 3 / 4


def gradients(
    batch: ScoringBatch, alpha: torch.Tensor | None = None
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """z of every layer and d(direction)/dz, each [batch, pos, head, d_head].

    `alpha` [batch, layer, head]: heads are set to mu + alpha (z - mu); None: they stay at z.
    """
    zs: list[torch.Tensor] = []

    def watch(call, z):
        if alpha is not None:
            layer = len(zs)
            share = alpha[:, None, layer, :, None].to(z.device)
            on_path = torch.lerp(batch.mu[layer].to(z.device), z, share)
            z = torch.where(batch.split_mask.to(z.device), on_path, z)
        zs.append(z if z.requires_grad else z.detach().requires_grad_())
        return zs[-1]

    with torch.enable_grad(), tapped(watch):
        direction = (batch.label_logits() * batch.direction).sum()
        return [z.detach() for z in zs], list(torch.autograd.grad(direction, zs))


def attribution_patching(batch: ScoringBatch) -> Iterator[Part]:
    """sum over positions of (z - mu) . d(direction)/dz: one forward and one backward pass."""
    for layer, (z, slope) in enumerate(zip(*gradients(batch), strict=True)):
        # [batch, pos, head, d_head]
        parts = (z - batch.mu[layer].to(z.device)) * slope * batch.split_mask.to(z.device)
        yield layer, list(range(batch.model.n_heads)), parts.sum((1, 3))


def integrated_gradients(batch: ScoringBatch) -> Iterator[Part]:
    """The mean slope on each head's path from mu to z, while the other heads stay at z: the end of
    that path is mean ablation itself.

    As EAP-IG uses integrated gradients for circuits (Hanna et al. 2024, arXiv 2403.17806), with two
    changes. Two nodes of Gauss-Radau quadrature replace the sum of many steps. And the heads do not
    leave z together, which would measure them in a model that no longer works: each text's heads
    are divided into `steps - 1` random groups, and each group is set to the node 1/3 in a pass of
    its own. With one step, the end point alone, this is attribution patching.
    """
    z, slope = gradients(batch)
    away = [
        (here - mu.to(here.device)) * batch.split_mask.to(here.device)
        for here, mu in zip(z, batch.mu, strict=True)
    ]

    def along_path(slope):
        # [batch, layer, head]
        parts = [(d * s).sum((1, 3)).to(batch.mu.device) for d, s in zip(away, slope, strict=True)]
        return torch.stack(parts, 1)

    at_end = scores = along_path(slope)
    groups = min(batch.config.steps - 1, batch.model.n_layers * batch.model.n_heads)
    group_of = random_groups(batch, groups) if groups else None
    for group in range(groups):
        alpha = torch.where(group_of == group, PATH_NODE, 1.0).to(at_end)
        at_node = along_path(gradients(batch, alpha)[1])
        scores = torch.where(group_of == group, path_average(at_end, at_node), scores)
    for layer in range(batch.model.n_layers):
        yield layer, list(range(batch.model.n_heads)), scores[:, layer]


def random_groups(batch: ScoringBatch, groups: int) -> torch.Tensor:
    """The group of each head, [batch, layer, head]: the heads of a layer in random order, layer
    after layer, are assigned to the groups in turn.

    The order is drawn from the text's own tokens, so that a text's scores do not depend on what it
    is batched with.
    """
    orders = []
    for ids, length in zip(batch.batch.ids.tolist(), batch.batch.lengths.tolist(), strict=True):
        draw = torch.Generator().manual_seed(zlib.crc32(repr(ids[:length]).encode()))
        orders.append(
            torch.rand(batch.model.n_layers, batch.model.n_heads, generator=draw).argsort(1)
        )
    first = torch.arange(batch.model.n_layers)[:, None] * batch.model.n_heads
    return ((torch.stack(orders) + first) % groups).to(batch.mu.device)
