"""How much each head carries the task: one table of methods (METHOD: the direction is `gold logit
minus the mean of the others`).

    cdt       the relevant part of the direction when a head is split into z - mu and mu (CD-T,
              arXiv 2407.00886)
    atp       sum over positions of (z - mu) . d(direction)/dz: one forward and one backward pass
              for every head at once
    ig        the same with the gradient averaged along the straight path from mu to z, some heads
              at a time (integrated gradients)
    ablation  the drop of the direction when a head's z is replaced by mu: the causal truth the
              others are judged against

A method yields, layer by layer and some heads at a time, scores of one batch's examples.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch

from ctsft.attribution.cdt import Walk
from ctsft.attribution.scores import ScoreConfig
from ctsft.model.architecture import weights_loaded
from ctsft.model.attention import tapped
from ctsft.model.batching import Batch
from ctsft.model.forward import readout_logits, record
from ctsft.model.memory_plan import Plan, chunk_size
from ctsft.model.model import Model


@dataclass(frozen=True)
class Job:
    """What a method works on: one batch, its gold directions and the means, all on the model's
    device.
    """

    model: Model
    batch: Batch
    tokens: list[int]  # of the labels
    gold: torch.Tensor  # [batch, label]: weights of the direction
    mu: torch.Tensor  # [layer, head, d_head]
    config: ScoreConfig
    plan: Plan
    wanted: dict[int, list[int]] | None = None  # heads of each layer to score; None: all

    @property
    def everywhere(self) -> bool:
        return self.config.positions != "readout"

    @property
    def split(self) -> torch.Tensor:  # [batch, pos, 1, 1]: where a head is split
        real = (
            self.batch.real
            if self.everywhere
            else torch.arange(self.batch.ids.shape[1], device=self.mu.device)
            == self.batch.readout[:, None]
        )
        return real[..., None, None]

    def chunks(self, layer: int) -> Iterator[list[int]]:
        """The layer's heads, as many at a time as the plan keeps in flight, in chunks of nearly one
        size.
        """
        heads = (
            list(range(self.model.n_heads)) if self.wanted is None else self.wanted.get(layer, [])
        )
        size = chunk_size(len(heads), self.plan.streams, self.batch.ids.numel())
        yield from (heads[start : start + size] for start in range(0, len(heads), size))


Part = tuple[int, list[int], torch.Tensor]  # layer, heads, scores [batch, head]


@torch.no_grad()
def cdt(job: Job) -> Iterator[Part]:
    trace = record(job.model, job.batch, lean=True)
    last = (
        max(layer for layer, _ in job.config.targets) if job.config.targets else job.model.n_layers
    )
    walk = Walk(job.model, trace, job.plan.keep_totals, job.config.attention, job.config.rules)
    for layer in range(last):
        for heads in job.chunks(layer):
            yield layer, heads, cdt_scores(job, walk, layer, heads).T


def cdt_scores(job: Job, walk: Walk, layer: int, heads: list[int]) -> torch.Tensor:
    """[source, batch]."""
    mu = job.mu[layer, heads]
    if job.config.targets:
        found = walk.to_heads(layer, heads, mu, job.config.targets, job.everywhere)
        # [label, d_model]
        unembed = job.model.architecture.unembedding[job.tokens]
        # [batch, d_model]
        v = torch.nn.functional.normalize(job.gold.to(unembed.device) @ unembed, dim=-1)
        total = torch.zeros(len(heads), len(job.gold), device=v.device, dtype=v.dtype)
        for (target_layer, target), z in found.items():
            # z: [source, batch, d_head]
            # [d_model, d_head]
            columns = head_columns(job.model, target_layer, target)
            total += ((z @ columns.T.to(z.device)).to(v.device) * v).sum(-1)
        return total / len(job.config.targets)
    # [source, batch, label]
    rel = walk.to_logits(layer, heads, mu, job.tokens, job.everywhere)
    if job.config.score == "magnitude":
        irrel = walk.trace.logits[:, job.tokens].to(rel.device) - rel
        return rel.abs().sum(-1) / irrel.abs().sum(-1)
    return (rel * job.gold.to(rel.device)).sum(-1)


def head_columns(model: Model, layer: int, head: int) -> torch.Tensor:
    """A head's slice of the output projection, [d_model, d_head]."""
    with weights_loaded(model.blocks[layer].o.module):
        return (
            model.blocks[layer].o.weight[:, head * model.d_head : (head + 1) * model.d_head].clone()
        )


def direct(job: Job, batch: Batch) -> torch.Tensor:
    """The labels' logits, [batch, label]."""
    return readout_logits(job.model.hf, batch)[:, job.tokens].to(job.gold.device)


def slopes(
    job: Job, alpha: torch.Tensor | None = None
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Every layer's z and d(direction)/dz, [batch, pos, head, d_head]; heads stand at mu + alpha (z
    - mu), alpha [batch, layer, head].
    """
    zs: list[torch.Tensor] = []

    def watch(call, z):
        if alpha is not None:
            layer = len(zs)
            at = alpha[:, None, layer, :, None].to(z.device)
            z = torch.where(
                job.split.to(z.device), torch.lerp(job.mu[layer].to(z.device), z, at), z
            )
        zs.append(z if z.requires_grad else z.detach().requires_grad_())
        return zs[-1]

    with torch.enable_grad(), tapped(watch):
        direction = (direct(job, job.batch) * job.gold).sum()
        return [z.detach() for z in zs], list(torch.autograd.grad(direction, zs))


def atp(job: Job) -> Iterator[Part]:
    for layer, (z, slope) in enumerate(zip(*slopes(job), strict=True)):
        # [batch, pos, head, d_head]
        parts = (z - job.mu[layer].to(z.device)) * slope * job.split.to(z.device)
        yield layer, list(range(job.model.n_heads)), parts.sum((1, 3))


def ig(job: Job) -> Iterator[Part]:
    """The mean slope of a head's own path from mu to z, the other heads where they are: that path's
    end is mean ablation itself.

    Integrated gradients (Sundararajan et al. 2017), as EAP-IG has them for circuits (Hanna et al.
    2024), with two changes. Two nodes of Gauss-Radau quadrature, the end point z (weight 1/4) and
    alpha = 1/3 (weight 3/4), are exact for a cubic direction. And the heads do not leave z
    together, which measures them in a broken model: they are dealt into `steps - 1` groups, anew
    for each text, and each group stands at 1/3 in a pass of its own. One step is the end point
    alone: attribution patching.
    """
    z, slope = slopes(job)
    spread = [
        (here - mu.to(here.device)) * job.split.to(here.device)
        for here, mu in zip(z, job.mu, strict=True)
    ]

    def along(slope):
        # [batch, layer, head]
        return torch.stack(
            [(d * s).sum((1, 3)).to(job.mu.device) for d, s in zip(spread, slope, strict=True)], 1
        )

    ends = scores = along(slope)
    groups = min(job.config.steps - 1, job.model.n_layers * job.model.n_heads)
    mine = dealt(job, groups) if groups else None
    for group in range(groups):
        alpha = torch.where(mine == group, 1 / 3, 1.0).to(ends)
        scores = torch.where(mine == group, ends / 4 + along(slopes(job, alpha)[1]) * 3 / 4, scores)
    for layer in range(job.model.n_layers):
        yield layer, list(range(job.model.n_heads)), scores[:, layer]


def dealt(job: Job, groups: int) -> torch.Tensor:
    """Each head's group, [batch, layer, head]: a layer's heads in random order, layer after layer,
    dealt out in turn.

    The order is drawn from the text's own tokens, so that a text's scores depend on nothing it is
    batched with.
    """
    rows = []
    for ids, length in zip(job.batch.ids.tolist(), job.batch.lengths.tolist(), strict=True):
        draw = torch.Generator().manual_seed(zlib.crc32(repr(ids[:length]).encode()))
        rows.append(torch.rand(job.model.n_layers, job.model.n_heads, generator=draw).argsort(1))
    first = torch.arange(job.model.n_layers)[:, None] * job.model.n_heads
    return ((torch.stack(rows) + first) % groups).to(job.mu.device)


@torch.no_grad()
def ablation(job: Job) -> Iterator[Part]:
    full = (direct(job, job.batch) * job.gold).sum(-1)  # [batch]
    for layer in range(job.model.n_layers):
        for heads in job.chunks(layer):
            n = len(heads)
            many = replace(
                job.batch, ids=job.batch.ids.repeat(n, 1), lengths=job.batch.lengths.repeat(n)
            )
            where = torch.zeros(n, job.model.n_heads, 1, dtype=torch.bool, device=job.mu.device)
            where[torch.arange(n), heads] = True

            def ablate(call, z, layer=layer, n=n, where=where):
                if call.module is not job.model.blocks[layer].attention:
                    return z
                # [source, batch, pos, head, d_head]
                z = z.unflatten(0, (n, -1))
                here = (where[:, None, None] & job.split).to(z.device)
                return torch.where(here, job.mu[layer].to(z.device), z).flatten(0, 1)

            with tapped(ablate):
                logits = direct(job, many).unflatten(0, (n, -1))
            yield layer, heads, (full - (logits * job.gold).sum(-1)).T


@dataclass(frozen=True)
class ScoringMethod:
    """A way to score heads, and how it is named to readers."""

    label: str
    hint: str  # what kind of score it is, in a few words
    unit: str  # of a score, with what the number means
    description: str  # one sentence, with its source
    run: Callable[[Job], Iterator[Part]]


METHODS: dict[str, ScoringMethod] = {
    "cdt": ScoringMethod(
        label="CD-T",
        hint="decomposition",
        unit="relevance (logits)",
        description=(
            "CD-T (contextual decomposition for transformers) splits a head's output into its mean"
            " and the rest, and follows both parts to the logits (CD-T, arXiv 2407.00886)."
        ),
        run=cdt,
    ),
    "atp": ScoringMethod(
        label="Attribution patching",
        hint="fast estimate",
        unit="attribution (logits)",
        description=(
            "Attribution patching estimates from one gradient what replacing each head by its mean"
            " would change (Syed et al. 2023, arXiv 2310.10348)."
        ),
        run=atp,
    ),
    "ig": ScoringMethod(
        label="Integrated gradients",
        hint="closer estimate",
        unit="attribution (logits)",
        description=(
            "Integrated gradients estimate the same from five passes: the gradient at the head's"
            " value and at a third of the way to it from its mean, some heads at a time (after"
            " Sundararajan et al. 2017, arXiv 1703.01365)."
        ),
        run=ig,
    ),
    "ablation": ScoringMethod(
        label="Mean ablation",
        hint="causal",
        unit="drop if ablated (logits)",
        description=(
            "Mean ablation replaces a head by its mean and measures the drop: the causal test"
            " (Wang et al. 2022, arXiv 2211.00593)."
        ),
        run=ablation,
    ),
}


@dataclass(frozen=True)
class MethodVariant:
    """A scoring method with some settings of `ScoreConfig` that differ from their defaults."""

    label: str
    method: str  # a name of METHODS
    settings: dict = field(default_factory=dict)


VARIANTS: dict[str, MethodVariant] = {
    "cdt": MethodVariant(METHODS["cdt"].label, "cdt"),
    "cdt frozen": MethodVariant("CD-T, attention frozen", "cdt", {"attention": "frozen"}),
    "cdt symmetric": MethodVariant("CD-T, cross terms shared", "cdt", {"rules": "symmetric"}),
    "cdt magnitude": MethodVariant("CD-T, size only", "cdt", {"score": "magnitude"}),
    "atp": MethodVariant(METHODS["atp"].label, "atp"),
    "ig": MethodVariant(METHODS["ig"].label, "ig"),
    "ig 9 steps": MethodVariant("Integrated gradients, nine passes", "ig", {"steps": 9}),
    "ablation": MethodVariant(METHODS["ablation"].label, "ablation"),
}
