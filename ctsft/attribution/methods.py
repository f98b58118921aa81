"""How much each head carries the task: one table of scoring methods.

The direction is the gold label's logit minus the mean of the other labels' logits at the readout
(CT-SFT, arXiv 2601.08146).

    cdt       the relevant part of the direction when a head is split into z - mu and mu (CD-T,
              arXiv 2407.00886)
    atp       the sum over positions of (z - mu) . d(direction)/dz, for all heads from one backward
              pass
    ig        the same with the gradient averaged along the path from mu to z
    ablation  the drop of the direction when a head's z is replaced by mu: the causal effect that
              the other methods are compared with
    learned   one nested ranking for the whole pool, learned by gates (`learned_ranking`)

A method of single texts yields the scores of one batch's examples layer by layer, some heads at a
time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from ctsft.attribution.cdt import Propagation
from ctsft.attribution.gradient_methods import attribution_patching, integrated_gradients
from ctsft.attribution.method_names import NAMES, MethodNames
from ctsft.attribution.scoring_batch import Part, ScoringBatch, output_columns
from ctsft.model.attention import tapped
from ctsft.model.forward import record
from ctsft.utils.errors import UserError


@torch.no_grad()
def cdt(batch: ScoringBatch) -> Iterator[Part]:
    """CD-T: one propagation for each head, from its layer to the logits or to the targets."""
    trace = record(batch.model, batch.batch, lean=True)
    propagation = Propagation(
        batch.model, trace, batch.plan.keep_totals, batch.config.attention, batch.config.rules
    )
    for layer in range(batch.config.source_layers(batch.model.n_layers)):
        for heads in batch.head_chunks(layer):
            yield layer, heads, cdt_scores(batch, propagation, layer, heads).T


def cdt_scores(
    batch: ScoringBatch, propagation: Propagation, layer: int, heads: list[int]
) -> torch.Tensor:
    """CD-T scores of some heads of a layer, [source, batch]."""
    if batch.config.targets:
        return target_relevance(batch, propagation, layer, heads)
    # [source, batch, label]
    rel = propagation.to_logits(
        layer, heads, batch.mu[layer, heads], batch.label_tokens, batch.config.positions
    )
    if batch.config.score == "magnitude":
        irrel = propagation.trace.logits[:, batch.label_tokens].to(rel.device) - rel
        return rel.abs().sum(-1) / irrel.abs().sum(-1)
    return (rel * batch.direction.to(rel.device)).sum(-1)


def target_relevance(
    batch: ScoringBatch, propagation: Propagation, layer: int, heads: list[int]
) -> torch.Tensor:
    """Relevance of heads for later target heads, [source, batch]: the target's relevant z at the
    readout, through its columns of the output projection, along the unit vector of the direction's
    unembedding; the mean over the targets.
    """
    rel_z = propagation.to_heads(
        layer, heads, batch.mu[layer, heads], batch.config.targets, batch.config.positions
    )
    # [label, d_model]
    unembedding = batch.model.architecture.unembedding[batch.label_tokens]
    # [batch, d_model]
    v = torch.nn.functional.normalize(batch.direction.to(unembedding.device) @ unembedding, dim=-1)
    total = torch.zeros(len(heads), len(batch.direction), device=v.device, dtype=v.dtype)
    for (target_layer, target), z in rel_z.items():
        # z is [source, batch, d_head], columns are [d_model, d_head]
        columns = output_columns(batch.model, target_layer, target)
        total += ((z @ columns.T.to(z.device)).to(v.device) * v).sum(-1)
    return total / len(batch.config.targets)


@torch.no_grad()
def mean_ablation(batch: ScoringBatch) -> Iterator[Part]:
    """The drop of the direction when one head's z is replaced by mu: one forward pass a head."""
    intact = (batch.label_logits() * batch.direction).sum(-1)  # [batch]
    for layer in range(batch.model.n_layers):
        for heads in batch.head_chunks(layer):
            yield layer, heads, (intact - ablated_direction(batch, layer, heads)).T


def ablated_direction(batch: ScoringBatch, layer: int, heads: list[int]) -> torch.Tensor:
    """The direction with each of `heads` at its mean, one after the other, [source, batch]."""
    n = len(heads)
    copies = replace(
        batch.batch, ids=batch.batch.ids.repeat(n, 1), lengths=batch.batch.lengths.repeat(n)
    )
    replaced = torch.zeros(n, batch.model.n_heads, 1, dtype=torch.bool, device=batch.mu.device)
    replaced[torch.arange(n), heads] = True

    def ablate(call, z):
        if call.module is not batch.model.blocks[layer].attention:
            return z
        # [source, batch, pos, head, d_head]
        z = z.unflatten(0, (n, -1))
        where = (replaced[:, None, None] & batch.split_mask).to(z.device)
        return torch.where(where, batch.mu[layer].to(z.device), z).flatten(0, 1)

    with tapped(ablate):
        logits = batch.label_logits(copies).unflatten(0, (n, -1))
    return (logits * batch.direction).sum(-1)


@dataclass(frozen=True)
class ScoringMethod(MethodNames):
    """A way to score heads, and how it is named to readers."""

    # None: not of single texts, but of a whole pool (`score_heads` runs it)
    run: Callable[[ScoringBatch], Iterator[Part]] | None


RUNS = {
    "cdt": cdt,
    "atp": attribution_patching,
    "ig": integrated_gradients,
    "ablation": mean_ablation,
    "learned": None,
}
METHODS: dict[str, ScoringMethod] = {
    name: ScoringMethod(**vars(names), run=RUNS[name]) for name, names in NAMES.items()
}


def check_single_texts(method: str) -> None:
    """UserError for a method that says nothing about a single text."""
    if METHODS[method].run is None:
        raise UserError(
            f"Method {method!r} ranks heads over a whole discovery set and says nothing about"
            " single texts or positions; choose from"
            f" {', '.join(name for name, one in METHODS.items() if one.run)}."
        )
