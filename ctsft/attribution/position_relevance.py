"""At which tokens a head's score arises: the score when the head is split into z - mu and mu at one
position alone, for each scoring method.

Attribution patching is a sum over positions, so its parts add up to the score. So do those of
integrated gradients, except that the other heads stay at z here. The parts of CD-T and mean
ablation need not add up, since later steps see several tokens at once.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from ctsft.attribution.cdt import Propagation
from ctsft.attribution.gradient_methods import PATH_NODE, gradients, path_average
from ctsft.attribution.scores import Head
from ctsft.attribution.scoring_batch import ScoringBatch
from ctsft.model import memory_plan
from ctsft.model.attention import tapped
from ctsft.model.forward import record


def position_relevance(batch: ScoringBatch, head: Head, method: str) -> torch.Tensor:
    """The score of a head of the batch's only text, split at each position in turn: [pos], float32
    on the CPU, in logits; 0 where the method does not split.
    """
    relevance = BY_POSITION[method](batch, head).float().cpu()
    return relevance * batch.split_mask[0, :, 0, 0].cpu()


def times_slope(
    batch: ScoringBatch, head: Head, z: torch.Tensor, slope: torch.Tensor
) -> torch.Tensor:
    """(z - mu) . slope at each position, [pos]; z and slope are [batch, pos, head, d_head]."""
    layer, number = head
    return ((z - batch.mu[layer].to(z.device)) * slope)[0, :, number].sum(-1)


def attribution_patching(batch: ScoringBatch, head: Head) -> torch.Tensor:
    z, slope = gradients(batch)
    return times_slope(batch, head, z[head[0]], slope[head[0]])


def integrated_gradients(batch: ScoringBatch, head: Head) -> torch.Tensor:
    """The two nodes of `gradient_methods.integrated_gradients`; at the second one this head alone
    leaves z.
    """
    layer, number = head
    z, slope = gradients(batch)
    at_end = times_slope(batch, head, z[layer], slope[layer])
    if batch.config.steps == 1:
        return at_end
    shape = (1, batch.model.n_layers, batch.model.n_heads)
    alpha = torch.ones(shape, device=batch.mu.device, dtype=batch.mu.dtype)
    alpha[0, layer, number] = PATH_NODE
    slope_at_node = gradients(batch, alpha)[1][layer]
    return path_average(at_end, times_slope(batch, head, z[layer], slope_at_node))


def position_chunks(batch: ScoringBatch) -> list[list[int]]:
    """Positions, as many at a time as the plan allows."""
    length = batch.batch.ids.shape[1]
    size = memory_plan.chunk_size(length, batch.plan.streams, length)
    return [list(range(start, min(length, start + size))) for start in range(0, length, size)]


def cdt(batch: ScoringBatch, head: Head) -> torch.Tensor:
    layer, number = head
    config, length = batch.config, batch.batch.ids.shape[1]
    trace = record(batch.model, batch.batch, lean=True)
    propagation = Propagation(batch.model, trace, attention=config.attention, rules=config.rules)
    every = torch.eye(length, dtype=torch.bool, device=batch.mu.device)
    relevance = []
    for positions in position_chunks(batch):
        heads = [number] * len(positions)
        # only_at is [source, batch, pos]
        rel = propagation.from_heads(
            layer,
            heads,
            batch.mu[layer, heads],
            config.positions,
            only_at=every[positions][:, None],
        )
        for later in range(layer + 1, batch.model.n_layers):
            rel = propagation.block(later, rel)
        logits = propagation.logits(rel, batch.label_tokens)
        relevance.append((logits * batch.direction).sum(-1)[:, 0])
    return torch.cat(relevance)


def mean_ablation(batch: ScoringBatch, head: Head) -> torch.Tensor:
    layer, number = head
    intact = (batch.label_logits() * batch.direction).sum(-1)
    relevance = []
    for positions in position_chunks(batch):
        n = len(positions)
        copies = replace(
            batch.batch, ids=batch.batch.ids.repeat(n, 1), lengths=batch.batch.lengths.repeat(n)
        )

        def ablate(call, z, positions=positions):
            if call.module is batch.model.blocks[layer].attention:
                z = z.clone()
                z[torch.arange(len(positions)), positions, number] = batch.mu[head].to(z.device)
            return z

        with tapped(ablate):
            ablated = (batch.label_logits(copies) * batch.direction).sum(-1)
        relevance.append(intact - ablated)
    return torch.cat(relevance)


BY_POSITION: dict[str, Callable[[ScoringBatch, Head], torch.Tensor]] = {
    "cdt": cdt,
    "atp": attribution_patching,
    "ig": integrated_gradients,
    "ablation": mean_ablation,
}
