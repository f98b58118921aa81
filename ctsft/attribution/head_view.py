"""One head on one text: where it looks, what it writes towards the answer, and at which tokens its
score arises.

*Attention pattern*: the weights of the model's own pass. *Direct logit effect*: the head's z at the
readout, through its slice of the output projection and straight to the logits, every norm on the
way keeping the scale it has in the whole pass (direct logit attribution, Elhage et al. 2021); what
later layers make of it is left out. *Relevance by position*: the score when the head is split into
z - mu and mu at that token alone. Attribution patching is a sum over positions, so its parts add up
to the score; integrated gradients' do too, but for the other heads, which stay at z here; CD-T's
and mean ablation's need not, since later steps see several tokens at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ctsft.attribution.cdt import Walk
from ctsft.attribution.means import Means
from ctsft.attribution.methods import Job, direct, head_columns, slopes
from ctsft.attribution.scores import Head, ScoreConfig
from ctsft.data.task import Example, Task
from ctsft.data.token_text import readable_token, readable_tokens
from ctsft.model import memory_plan
from ctsft.model.architecture import Linear, Norm, weights_loaded
from ctsft.model.attention import tapped
from ctsft.model.batching import pad
from ctsft.model.evaluation import direction_weights
from ctsft.model.forward import Trace, attention_pattern, record
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.model.replay import select_positions
from ctsft.utils.errors import UserError


@dataclass(frozen=True)
class HeadView:
    """Tensors are float32 on the CPU. Effects and relevance are in logits; `vocabulary` has (text,
    effect), None for a classifier.
    """

    head: Head
    pieces: list[str]  # the prompt's tokens as readable text
    attention: torch.Tensor  # [query pos, key pos], rows sum to 1
    readout: int  # position the answer is read at
    labels: dict[str, float]  # direct logit effect on each label's token
    # tokens with the largest direct effect, falling
    promoted: list[tuple[str, float]] | None
    suppressed: list[tuple[str, float]] | None  # with the smallest, rising
    relevance: torch.Tensor  # [pos], by `method`
    method: str


def view_head(
    model,
    task: Task,
    example: Example,
    means: Means,
    head: Head,
    method: str = "cdt",
    top: int = 10,
    **config,
) -> HeadView:
    """Everything above for one head; `config` are the fields of `ScoreConfig`. Costs about two
    forward passes, by CD-T and mean ablation one pass a token.

    Raises UserError for a head the model does not have, an unknown method, or means of another
    shape.
    """
    model, settings = as_model(model), ScoreConfig(**config)
    if head not in model.heads:
        raise UserError(
            f"{head} is not a head of {model.name or 'this model'}; it has {model.n_layers} layers"
            f" of {model.n_heads} heads, counted from 0."
        )
    if method not in BY_POSITION:
        raise UserError(
            f"{method!r} is not a scoring method; choose from {', '.join(BY_POSITION)}."
        )
    shape = (model.n_layers, model.n_heads, model.d_head)
    if tuple(means.values.shape) != shape:
        raise UserError(
            f"The means have the shape {tuple(means.values.shape)}, and this model needs {shape};"
            " take them with this model."
        )
    ids, tokens = task.encode(model, example), task.label_ids(model)
    with torch.no_grad():
        trace = record(model, pad([ids], model.device, reads_first=model.architecture.reads_first))
        effect = direct_effect(model, trace, head)
        parts = position_relevance(
            model,
            task,
            example,
            means,
            head,
            method,
            replace(settings, positions=settings.positions or means.positions),
        )
    words = None if model.classes else extremes(model, effect, top)
    return HeadView(
        head,
        readable_tokens(model.tokenizer, ids),
        attention_pattern(trace, head[0])[0, head[1]].float().cpu(),
        int(trace.batch.readout[0]),
        {label: effect[token].item() for label, token in tokens.items()},
        words and words[0],
        words and words[1],
        parts,
        method,
    )


def extremes(
    model: Model, effect: torch.Tensor, top: int
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """The tokens an effect [vocab] raises and lowers most, as text."""

    def named(found):
        return [
            (readable_token(model.tokenizer, token), value)
            for token, value in zip(found.indices.tolist(), found.values.tolist(), strict=True)
        ]

    # a padded vocabulary has rows that no text becomes
    known = effect[: len(model.tokenizer)]
    k = min(top, len(known))
    return named(known.topk(k)), named(known.topk(k, largest=False))


def direct_effect(model: Model, trace: Trace, head: Head) -> torch.Tensor:
    """Direct logit effect of a head of the first text, [vocab or class], float32 on the CPU: before
    a final softcap, biases left out; an encoder's tanh or ReLU in front of the classes counts as
    the identity.
    """
    layer, at = head[0], trace.batch.readout
    z = select_positions(trace.z[layer].flatten(-2), at)[0, 0].unflatten(-1, (-1, model.d_head))[
        head[1]
    ]
    return to_logits(model, trace, layer, z @ head_columns(model, *head).T.to(z.device))


def to_logits(model: Model, trace: Trace, layer: int, x: torch.Tensor) -> torch.Tensor:
    """What a vector [d_model] that the attention of `layer` writes at the first text's readout does
    to the logits directly.
    """
    walk, at = Walk(model, trace, keep_totals=False), trace.batch.readout

    def total(value):
        return (value if value.shape[1] == 1 else select_positions(value, at))[0, 0]

    for number in range(layer, model.n_layers):
        block = model.blocks[number]
        own = number == layer and block.attn_post is not None
        if own or block.attn_after is not None or block.mlp_after is not None:
            totals = walk.totals(number)
            with weights_loaded(block.module):
                x = frozen(x, block.attn_post, total(totals.o)) if own else x
                x = frozen(
                    frozen(x, block.attn_after, total(totals.add)),
                    block.mlp_after,
                    total(totals.sum),
                )
    architecture = model.architecture
    with weights_loaded(*architecture.output_modules):
        x = frozen(x, architecture.final_norm, total(trace.x[-1]))
        for step in architecture.head:
            if isinstance(step, Linear):
                x = step.weight @ x.to(step.weight.device)
    return x.float().cpu()


def frozen(x: torch.Tensor, norm: Norm | None, total: torch.Tensor) -> torch.Tensor:
    """A part [d] of a norm's input `total` [d] through the norm, whose scale stays that of the
    total; no bias.
    """
    if norm is None:
        return x
    x = x.to(total.device)
    return (x - x.mean() if norm.centred else x) * norm.scale(total) * norm.gain


def position_relevance(
    model: Model,
    task: Task,
    example: Example,
    means: Means,
    head: Head,
    method: str,
    settings: ScoreConfig,
) -> torch.Tensor:
    """The head's score when it is split at one position only, for every position: [pos], float32 on
    the CPU, in logits.
    """
    ids, tokens = task.encode(model, example), list(task.label_ids(model).values())
    batch = pad([ids], model.device, reads_first=model.architecture.reads_first)
    gold = direction_weights(torch.tensor([task.labels.index(example.label)]), len(tokens)).to(
        model.device, model.dtype
    )
    plan = memory_plan.make_plan(
        model,
        memory_plan.Workload(method, len(ids), 1, settings.rules == "symmetric"),
        settings.batch_tokens,
        settings.max_memory,
    )
    job = Job(
        model, batch, tokens, gold, means.values.to(model.device, model.dtype), settings, plan
    )
    return BY_POSITION[method](job, head).float().cpu() * job.split[0, :, 0, 0].cpu()


def spread(job: Job, head: Head, z: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """(z - mu) . slope at each position, [pos]; z and slope [batch, pos, head, d_head]."""
    return ((z - job.mu[head[0]].to(z.device)) * slope)[0, :, head[1]].sum(-1)


def atp(job: Job, head: Head) -> torch.Tensor:
    z, slope = slopes(job)
    return spread(job, head, z[head[0]], slope[head[0]])


def ig(job: Job, head: Head) -> torch.Tensor:
    """The two nodes of `methods.ig`, this head alone at mu + (z - mu) / 3 in the second."""
    z, slope = slopes(job)
    end = spread(job, head, z[head[0]], slope[head[0]])
    if job.config.steps == 1:
        return end
    alpha = torch.ones(
        1, job.model.n_layers, job.model.n_heads, device=job.mu.device, dtype=job.mu.dtype
    )
    alpha[0, *head] = 1 / 3
    return end / 4 + spread(job, head, z[head[0]], slopes(job, alpha)[1][head[0]]) * 3 / 4


def one_by_one(job: Job) -> list[list[int]]:
    """Positions, as many at a time as the plan keeps in flight."""
    length = job.batch.ids.shape[1]
    size = memory_plan.chunk_size(length, job.plan.streams, length)
    return [list(range(start, min(length, start + size))) for start in range(0, length, size)]


def cdt(job: Job, head: Head) -> torch.Tensor:
    walk, found = (
        Walk(
            job.model,
            record(job.model, job.batch, lean=True),
            attention=job.config.attention,
            rules=job.config.rules,
        ),
        [],
    )
    for some in one_by_one(job):
        # [source, batch, pos]
        where = torch.eye(job.batch.ids.shape[1], dtype=torch.bool, device=job.mu.device)[some][
            :, None
        ]
        rel = walk.source(
            head[0],
            [head[1]] * len(some),
            job.mu[head[0], [head[1]] * len(some)],
            job.everywhere,
            where,
        )
        for later in range(head[0] + 1, job.model.n_layers):
            rel = walk.block(later, rel)
        found.append((walk.logits(rel, job.tokens) * job.gold).sum(-1)[:, 0])
    return torch.cat(found)


def ablation(job: Job, head: Head) -> torch.Tensor:
    full, found = (direct(job, job.batch) * job.gold).sum(-1), []
    for some in one_by_one(job):
        many = replace(
            job.batch,
            ids=job.batch.ids.repeat(len(some), 1),
            lengths=job.batch.lengths.repeat(len(some)),
        )

        def ablate(call, z, some=some):
            if call.module is job.model.blocks[head[0]].attention:
                z = z.clone()
                z[torch.arange(len(some)), some, head[1]] = job.mu[head].to(z.device)
            return z

        with tapped(ablate):
            found.append(full - (direct(job, many) * job.gold).sum(-1))
    return torch.cat(found)


BY_POSITION: dict[str, Callable[[Job, Head], torch.Tensor]] = {
    "cdt": cdt,
    "atp": atp,
    "ig": ig,
    "ablation": ablation,
}
