"""How much each head carries the task: CD-T relevance, attribution patching and mean ablation, one table of methods.

The task's direction is `gold logit minus the mean of the other labels' logits` at the readout (CT-SFT, arXiv 2601.08146).

    cdt       the relevant part of the direction when a head is split into z - mu and mu (CD-T, arXiv 2407.00886)
    atp       sum over positions of (z - mu) . d(direction)/dz: one forward and one backward pass for every head at once
    ablation  the drop of the direction when a head's z is replaced by mu: the causal truth the others are judged against

A method yields, batch by batch and layer by layer, scores of the batch's examples; `score_heads` collects them.
"""
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ctsft.answers import directions
from ctsft.decompose import Walk
from ctsft.errors import UserError
from ctsft.loading import as_model
from ctsft.means import POSITIONS, Means, Progress
from ctsft.models import Model
from ctsft.tasks import Example, Task
from ctsft.trace import BATCH_TOKENS, Batch, pack, readout_logits, record, tapped

Head = tuple[int, int]


@dataclass(frozen=True)
class ScoreConfig:
    """Settings of a scoring pass; the defaults are the method's."""
    attention: str = "softmax"               # "softmax" decomposes the pattern, "frozen" keeps it (cdt only)
    score: str = "signed"                    # "magnitude": |rel|_1 / |irrel|_1 over the label logits (cdt only)
    positions: str | None = None             # where a head is split: "all" or "readout"; None: as the means were taken
    targets: tuple[Head, ...] = ()           # later heads instead of the logits (cdt only)
    batch_tokens: int = BATCH_TOKENS         # token streams in flight (heads x examples x positions): bounds memory

    def __post_init__(self):
        for name, value, known in (("attention", self.attention, ("softmax", "frozen")), ("score", self.score, ("signed", "magnitude")),
                                   ("positions", self.positions, (None, *POSITIONS))):
            if value not in known:
                raise UserError(f"{value!r} is not a choice of {name}; choose from {', '.join(str(word) for word in known if word)}.")
        if self.batch_tokens < 1:
            raise UserError(f"batch_tokens is {self.batch_tokens}; give a positive number of tokens.")


@dataclass(frozen=True)
class Scores:
    """Scores of every head; tensors are float32 on the CPU. A head that was no source (not earlier than any target) has NaN."""
    per_example: torch.Tensor                # [example, layer, head]
    examples: list[str]                      # ids
    labels: list[str]                        # gold label of each example
    method: str
    config: ScoreConfig
    about: dict = field(default_factory=dict)   # model, task: what the scores are of

    @cached_property
    def values(self) -> torch.Tensor:
        """Mean over the examples, [layer, head]."""
        return self.per_example.double().mean(0).float()

    @cached_property
    def stderr(self) -> torch.Tensor:
        """Standard error of the mean, [layer, head]."""
        return (self.per_example.double().std(0) / len(self.examples) ** 0.5).float()

    @cached_property
    def by_label(self) -> dict[str, torch.Tensor]:
        """{label: mean over its examples, [layer, head]}."""
        return {label: self.per_example[[i for i, own in enumerate(self.labels) if own == label]].mean(0)
                for label in dict.fromkeys(self.labels)}

    def ranking(self) -> list[Head]:
        """Heads by falling score, ties by layer and head; heads without a score are left out."""
        order = sorted(((-value, (layer, head)) for layer, row in enumerate(self.values.tolist()) for head, value in enumerate(row)
                        if value == value))
        return [head for _, head in order]

    def csv(self) -> str:
        """One line a head: layer, head, score, standard error, rank, one column a label."""
        rank = {head: i + 1 for i, head in enumerate(self.ranking())}
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["layer", "head", "score", "stderr", "rank", *self.by_label])
        for layer, head in rank:
            writer.writerow([layer, head, self.values[layer, head].item(), self.stderr[layer, head].item(), rank[layer, head],
                             *(value[layer, head].item() for value in self.by_label.values())])
        return out.getvalue()

    def save(self, path):
        """safetensors: `per_example` and `values`; everything else as JSON in its metadata."""
        words = {"examples": self.examples, "labels": self.labels, "method": self.method, "config": asdict(self.config), "about": self.about}
        save_file({"per_example": self.per_example, "values": self.values.clone()}, path, {"scores": json.dumps(words)})

    @classmethod
    def load(cls, path) -> "Scores":
        with safe_open(path, "pt") as file:
            words = json.loads(file.metadata()["scores"])
            config = words["config"] | {"targets": tuple(map(tuple, words["config"]["targets"]))}
            return cls(file.get_tensor("per_example"), **words | {"config": ScoreConfig(**config)})


@dataclass(frozen=True)
class Job:
    """What a method works on: one batch, its gold directions and the means, all on the model's device."""
    model: Model
    batch: Batch
    tokens: list[int]                        # of the labels
    gold: torch.Tensor                       # [batch, label]: weights of the direction
    mu: torch.Tensor                         # [layer, head, d_head]
    config: ScoreConfig

    @property
    def everywhere(self) -> bool:
        return self.config.positions != "readout"

    @property
    def split(self) -> torch.Tensor:         # [batch, pos, 1, 1]: where a head is split
        real = self.batch.real if self.everywhere else torch.arange(self.batch.ids.shape[1], device=self.mu.device) == self.batch.readout[:, None]
        return real[..., None, None]

    def chunks(self) -> Iterator[list[int]]:
        """Heads of a layer, as many at a time as `batch_tokens` allows."""
        size = max(1, self.config.batch_tokens // self.batch.ids.numel())
        yield from (list(range(start, min(start + size, self.model.n_heads))) for start in range(0, self.model.n_heads, size))


Part = tuple[int, list[int], torch.Tensor]   # layer, heads, scores [batch, head]


@torch.no_grad()
def cdt(job: Job) -> Iterator[Part]:
    trace = record(job.model, job.batch)
    last = max(layer for layer, _ in job.config.targets) if job.config.targets else job.model.n_layers
    keep = job.batch.ids.numel() * job.model.n_layers <= 16 * job.config.batch_tokens     # else a block's totals are computed for each source
    walk = Walk(job.model, trace, job.config.attention, keep)
    for layer in range(last):
        for heads in job.chunks():
            yield layer, heads, cdt_scores(job, walk, layer, heads).T


def cdt_scores(job: Job, walk: Walk, layer: int, heads: list[int]) -> torch.Tensor:
    """[source, batch]."""
    mu = job.mu[layer, heads]
    if job.config.targets:
        found = walk.to_heads(layer, heads, mu, job.config.targets, job.everywhere)
        unembed = job.model.architecture.unembed.weight[job.tokens]                        # [label, d_model]
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
        for heads in job.chunks():
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


def score_heads(model, task: Task, pool: Sequence[Example], means: Means, method: str = "cdt",
                progress: Progress | None = None, **config) -> Scores:
    """Score every head on `pool`; `config` are the fields of `ScoreConfig`. `progress(done, total)` counts work, not seconds.

    Raises UserError for an unknown method or setting, an empty pool, or means of another model's shape.
    """
    model = as_model(model)
    if method not in METHODS:
        raise UserError(f"{method!r} is not a scoring method; choose from {', '.join(METHODS)}.")
    unknown = set(config) - set(ScoreConfig.__dataclass_fields__)
    if unknown:
        raise UserError(f"{sorted(unknown)[0]!r} is not a setting of score_heads; choose from {', '.join(ScoreConfig.__dataclass_fields__)}.")
    settings = ScoreConfig(**config)
    settings = replace(settings, positions=settings.positions or means.positions, targets=tuple(sorted(map(tuple, settings.targets))))
    if method != "cdt" and (settings.targets or settings.score != "signed"):
        raise UserError(f"Head targets and magnitude scores are defined for method 'cdt' only, and the method is {method!r}.")
    shape = (model.n_layers, model.n_heads, model.d_head)
    if tuple(means.values.shape) != shape:
        raise UserError(f"The means have the shape {tuple(means.values.shape)}, and this model needs {shape}; take them with this model.")
    if not pool:
        raise UserError("There are no examples to score; give at least one.")
    tokens = list(task.label_ids(model).values())
    gold = directions(torch.tensor([task.labels.index(row.label) for row in pool]), len(tokens))
    mu = means.values.to(model.device, model.dtype)
    out = torch.full((len(pool), model.n_layers, model.n_heads), float("nan"))
    sources = max(layer for layer, _ in settings.targets) if settings.targets else model.n_layers
    cost = [sources - layer for layer in range(sources)] if method == "cdt" else [1] * sources
    done, total = 0.0, float(len(pool) * model.n_heads * sum(cost))
    budget = max(1, settings.batch_tokens // (1 if method == "atp" else model.n_heads))
    for batch in pack([task.encode(model, row) for row in pool], model.device, budget):
        job = Job(model, batch, tokens, gold[batch.index].to(model.device, model.dtype), mu, settings)
        rows = torch.tensor(batch.index)
        for layer, heads, part in METHODS[method](job):
            out[rows[:, None], layer, torch.tensor(heads)] = part.float().cpu()
            done += len(heads) * len(rows) * cost[layer]
            if progress:
                progress(done, total)
    about = {"model": model.name, "model_type": model.model_type, "n_layers": model.n_layers, "n_heads": model.n_heads,
             "n_kv_heads": model.n_kv_heads, "task": task.name}
    return Scores(out, [row.id for row in pool], [row.label for row in pool], method, settings, about)
