"""How much each head carries the task: one table of methods (METHOD: the direction is `gold logit minus the mean of the others`).

    cdt       the relevant part of the direction when a head is split into z - mu and mu (CD-T, arXiv 2407.00886)
    atp       sum over positions of (z - mu) . d(direction)/dz: one forward and one backward pass for every head at once
    ig        the same with the gradient averaged along the straight path from mu to z (integrated gradients, Sundararajan et al. 2017)
    ablation  the drop of the direction when a head's z is replaced by mu: the causal truth the others are judged against

A method yields, layer by layer and some heads at a time, scores of one batch's examples.
"""
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from ctsft.decompose import Walk
from ctsft.models import Model
from ctsft.planning import Plan
from ctsft.scores import ScoreConfig
from ctsft.trace import Batch, readout_logits, record, tapped


@dataclass(frozen=True)
class Job:
    """What a method works on: one batch, its gold directions and the means, all on the model's device."""
    model: Model
    batch: Batch
    tokens: list[int]                        # of the labels
    gold: torch.Tensor                       # [batch, label]: weights of the direction
    mu: torch.Tensor                         # [layer, head, d_head]
    config: ScoreConfig
    plan: Plan
    wanted: dict[int, list[int]] | None = None   # heads of each layer to score; None: all

    @property
    def everywhere(self) -> bool:
        return self.config.positions != "readout"

    @property
    def split(self) -> torch.Tensor:         # [batch, pos, 1, 1]: where a head is split
        real = self.batch.real if self.everywhere else torch.arange(self.batch.ids.shape[1], device=self.mu.device) == self.batch.readout[:, None]
        return real[..., None, None]

    def chunks(self, layer: int) -> Iterator[list[int]]:
        """The layer's heads, as many at a time as the plan keeps in flight, in chunks of nearly one size."""
        heads = list(range(self.model.n_heads)) if self.wanted is None else self.wanted.get(layer, [])
        most = max(1, self.plan.streams // self.batch.ids.numel())
        size = -(-len(heads) // -(-len(heads) // most)) if heads else 1
        yield from (heads[start:start + size] for start in range(0, len(heads), size))


Part = tuple[int, list[int], torch.Tensor]   # layer, heads, scores [batch, head]


@torch.no_grad()
def cdt(job: Job) -> Iterator[Part]:
    trace = record(job.model, job.batch)
    last = max(layer for layer, _ in job.config.targets) if job.config.targets else job.model.n_layers
    walk = Walk(job.model, trace, job.config.attention, job.plan.keep, job.config.rules)
    for layer in range(last):
        for heads in job.chunks(layer):
            yield layer, heads, cdt_scores(job, walk, layer, heads).T


def cdt_scores(job: Job, walk: Walk, layer: int, heads: list[int]) -> torch.Tensor:
    """[source, batch]."""
    mu = job.mu[layer, heads]
    if job.config.targets:
        found = walk.to_heads(layer, heads, mu, job.config.targets, job.everywhere)
        unembed = job.model.architecture.unembed[job.tokens]                        # [label, d_model]
        v = torch.nn.functional.normalize(job.gold @ unembed, dim=-1)                      # [batch, d_model]
        total = torch.zeros(len(heads), len(job.gold), device=v.device, dtype=v.dtype)
        for (target_layer, target), z in found.items():                                    # z: [source, batch, d_head]
            columns = head_columns(job.model, target_layer, target)                        # [d_model, d_head]
            total += ((z @ columns.T) * v).sum(-1)
        return total / len(job.config.targets)
    rel = walk.to_logits(layer, heads, mu, job.tokens, job.everywhere)                     # [source, batch, label]
    if job.config.score == "magnitude":
        irrel = walk.trace.logits[:, job.tokens] - rel
        return rel.abs().sum(-1) / irrel.abs().sum(-1)
    return (rel * job.gold).sum(-1)


def head_columns(model: Model, layer: int, head: int) -> torch.Tensor:
    """A head's slice of the output projection, [d_model, d_head]."""
    return model.blocks[layer].o.weight[:, head * model.d_head:(head + 1) * model.d_head]


def atp(job: Job) -> Iterator[Part]:
    zs: list[torch.Tensor] = []

    def watch(call, z):
        zs.append(z if z.requires_grad else z.detach().requires_grad_())
        return zs[-1]
    with torch.enable_grad(), tapped(watch):
        direction = (readout_logits(job.model.hf, job.batch)[:, job.tokens] * job.gold).sum()
        gradients = torch.autograd.grad(direction, zs)
    for layer, (z, gradient) in enumerate(zip(zs, gradients, strict=True)):
        parts = (z.detach() - job.mu[layer]) * gradient * job.split                        # [batch, pos, head, d_head]
        yield layer, list(range(job.model.n_heads)), parts.sum((1, 3))


@torch.no_grad()
def ablation(job: Job) -> Iterator[Part]:
    full = (readout_logits(job.model.hf, job.batch)[:, job.tokens] * job.gold).sum(-1)     # [batch]
    for layer in range(job.model.n_layers):
        for heads in job.chunks(layer):
            n = len(heads)
            many = replace(job.batch, ids=job.batch.ids.repeat(n, 1), lengths=job.batch.lengths.repeat(n))
            where = torch.zeros(n, job.model.n_heads, 1, dtype=torch.bool, device=job.mu.device)
            where[torch.arange(n), heads] = True

            def ablate(call, z, layer=layer, n=n, where=where):
                if call.module is not job.model.blocks[layer].attention:
                    return z
                z = z.unflatten(0, (n, -1))                                                # [source, batch, pos, head, d_head]
                return torch.where(where[:, None, None] & job.split, job.mu[layer], z).flatten(0, 1)
            with tapped(ablate):
                logits = readout_logits(job.model.hf, many)[:, job.tokens].unflatten(0, (n, -1))
            yield layer, heads, (full - (logits * job.gold).sum(-1)).T


METHODS: dict[str, Callable[[Job], Iterator[Part]]] = {"cdt": cdt, "atp": atp, "ablation": ablation}
