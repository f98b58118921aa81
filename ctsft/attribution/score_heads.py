"""Score every head of a model on a pool of examples: plan, run a method batch by batch, collect.

The task's direction is `gold logit minus the mean of the other labels' logits` at the readout
(CT-SFT, arXiv 2601.08146).
"""

import warnings
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace

import torch

from ctsft.attribution.adaptive import narrow
from ctsft.attribution.means import Means, Progress
from ctsft.attribution.methods import METHODS, Job
from ctsft.attribution.pool import seen
from ctsft.attribution.scores import ScoreConfig, Scores
from ctsft.cache.entry import Entry
from ctsft.cache.hashing import tensors_hash
from ctsft.data.task import Example, Task
from ctsft.model import memory_plan
from ctsft.model.activations import scratch
from ctsft.model.batching import batches
from ctsft.model.evaluation import direction_weights
from ctsft.model.fingerprint import model_identity
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.model.process_memory import limited_memory
from ctsft.utils import distributed
from ctsft.utils.errors import UserError


def score_heads(
    model,
    task: Task,
    pool: Sequence[Example],
    means: Means,
    method: str = "cdt",
    progress: Progress | None = None,
    cache: bool = False,
    **config,
) -> Scores:
    """Score every head on `pool`; `config` are the fields of `ScoreConfig`. `progress(done, total)`
    counts work, not seconds. `cache` keeps the scores on disk, and answers from there what was
    asked before (`notes` say so).

    Raises UserError for an unknown method or setting, an empty pool, means of another model's
    shape, or too little memory.
    """
    model = as_model(model)
    settings = settle(model, pool, means, method, config)
    entry = question(model, task, pool, means, method, settings) if cache else None
    kept = entry.read() if entry else None
    if distributed.all_agree(bool(kept), model.device) and kept:
        if progress:
            progress(1.0, 1.0)
        return finished(
            model,
            task,
            pool,
            method,
            settings,
            kept[0]["per_example"],
            [*kept[1]["notes"], kept[1]["note"]],
        )
    out = torch.full((len(pool), model.n_layers, model.n_heads), float("nan"))
    notes: list[str] = []
    if settings.adaptive:
        k = settings.k or max(1, int(0.02 * model.n_layers * model.n_heads + 1e-9))

        def measure(rows: list[int], heads: torch.Tensor):
            sweep(model, task, pool, means, method, settings, out, progress, notes, heads, rows)

        notes.insert(
            0,
            narrow(
                out,
                [row.label for row in pool],
                k,
                cost(method, settings, model.n_layers),
                measure,
                settings.skip,
            ),
        )
    else:
        sweep(model, task, pool, means, method, settings, out, progress, notes)
    if entry and distributed.RANK == 0:
        entry.write({"per_example": out}, {"notes": notes})
    return finished(model, task, pool, method, settings, out, notes)


def question(
    model: Model, task: Task, pool, means: Means, method: str, settings: ScoreConfig
) -> Entry:
    """What determines a pass's scores, before they are put in units of their layers."""
    asked = {
        name: value
        for name, value in asdict(settings).items()
        if name not in ("batch_tokens", "max_memory")
    }
    return Entry(
        "scores",
        model_identity(model),
        {"task": task.name, "what": f"{method}, {len(pool)} texts"},
        asked
        | {
            "method": method,
            "rows": seen(model, task, pool),
            "labels": list(task.label_ids(model).values()),
            "means": tensors_hash({"": means.values}),
        },
        by=METHODS[method].run,
    )


def settle(model: Model, pool, means: Means, method: str, config: dict) -> ScoreConfig:
    """The settings of a pass, checked against its model and means."""
    if method not in METHODS:
        raise UserError(f"{method!r} is not a scoring method; choose from {', '.join(METHODS)}.")
    unknown = set(config) - set(ScoreConfig.__dataclass_fields__)
    if unknown:
        raise UserError(
            f"{sorted(unknown)[0]!r} is not a setting of score_heads; choose from"
            f" {', '.join(ScoreConfig.__dataclass_fields__)}."
        )
    settings = ScoreConfig(**config)
    settings = replace(
        settings,
        positions=settings.positions or means.positions,
        targets=tuple(sorted(map(tuple, settings.targets))),
    )
    if method != "cdt" and (
        settings.targets
        or settings.score != "signed"
        or settings.rules != "paper"
        or settings.adaptive
    ):
        raise UserError(
            "Head targets, magnitude scores, rules and adaptive passes are defined for method"
            f" 'cdt' only, and the method is {method!r}."
        )
    shape = (model.n_layers, model.n_heads, model.d_head)
    if tuple(means.values.shape) != shape:
        raise UserError(
            f"The means have the shape {tuple(means.values.shape)}, and this model needs {shape};"
            " take them with this model."
        )
    if not pool:
        raise UserError("There are no examples to score; give at least one.")
    return settings


def cost(method: str, settings: ScoreConfig, n_layers: int) -> list[int]:
    """Relative work of a head of each layer that is a source: the blocks on its way."""
    last = max(layer for layer, _ in settings.targets) if settings.targets else n_layers
    return [last - layer for layer in range(last)] if method == "cdt" else [1] * last


def sweep(
    model: Model,
    task: Task,
    pool,
    means: Means,
    method: str,
    settings: ScoreConfig,
    out: torch.Tensor,
    progress: Progress | None,
    notes: list[str],
    heads: torch.Tensor | None = None,
    rows: list[int] | None = None,
):
    """Fill `out` [example, layer, head] for some `heads` (bool [layer, head]) and rows, all when
    None; several processes share the work.
    """
    tokens = list(task.label_ids(model).values())
    gold = direction_weights(
        torch.tensor([task.labels.index(row.label) for row in pool]), len(tokens)
    )
    mu = means.values.to(model.device, model.dtype)
    asked_rows = rows = list(range(len(pool))) if rows is None else rows
    encoded = {row: task.encode(model, pool[row]) for row in rows}
    work = cost(method, settings, model.n_layers)
    heads = torch.ones(out.shape[1:], dtype=torch.bool) if heads is None else heads
    sources = [
        (layer, head)
        for layer in range(len(work))
        for head in heads[layer].nonzero().flatten().tolist()
    ]
    if method in ("cdt", "ablation"):
        # a pass for every head: processes share heads, otherwise texts
        sources = distributed.local_share(sources)
    else:
        rows = distributed.local_share(rows)
    wanted = {layer: [head for at, head in sources if at == layer] for layer in range(len(work))}
    asked = memory_plan.Workload(
        method, max(map(len, encoded.values())), len(encoded), settings.rules == "symmetric"
    )
    done, total = (
        0.0,
        float(len(rows) * sum(work[layer] * len(some) for layer, some in wanted.items())) or 1.0,
    )
    waiting, part_of = deque([rows] if rows else []), torch.full_like(out, float("nan"))
    with ExitStack() as stack:
        stack.callback(scratch.clear)
        stack.enter_context(limited_memory(settings.max_memory, model.device))
        plan = memory_plan.make_plan(model, asked, settings.batch_tokens, settings.max_memory)
        while waiting:
            these = waiting.popleft()
            for batch in batches(model, [encoded[row] for row in these], plan.tokens):
                index = torch.tensor([these[i] for i in batch.index])
                job = Job(
                    model,
                    batch,
                    tokens,
                    gold[index].to(model.device, model.dtype),
                    mu,
                    settings,
                    plan,
                    wanted,
                )
                began = done
                try:
                    for layer, some, part in METHODS[method].run(job):
                        part_of[index[:, None], layer, torch.tensor(some)] = part.float().cpu()
                        done += len(some) * len(index) * work[layer]
                        if progress:
                            progress(min(done, total), total)
                except (RuntimeError, MemoryError) as error:
                    plan, done = smaller(plan, error, notes, model), began
                    # once more, with less in flight; other batches go on as they were cut
                    waiting.append(index.tolist())
    part_of = distributed.merge_filled(part_of, model.device)
    out.copy_(torch.where(part_of.isnan(), out, part_of))
    leave_out(out, asked_rows, heads & (torch.arange(len(heads)) < len(work))[:, None], notes)


def leave_out(out: torch.Tensor, rows: list[int], heads: torch.Tensor, notes: list[str]):
    """Scores that ran over the number format become NaN, which no mean counts, and a note tells of
    them. UserError when all did.
    """
    asked = torch.zeros_like(out, dtype=torch.bool)
    asked[rows] = heads
    lost = asked & ~out.isfinite()
    if lost.any() and torch.equal(lost, asked):
        raise UserError(
            f"None of the {asked.sum()} scores is a finite number; take more exact numbers (--dtype"
            " float32 or float64), or check the model's weights."
        )
    if lost.any():
        out[lost] = float("nan")
        names = [f"L{layer}.H{head}" for layer, head in lost.any(0).nonzero().tolist()]
        notes.append(
            f"{lost.sum()} of {asked.sum()} scores are no finite numbers and are left out of the"
            f" means ({', '.join(names[:5])}{', ...' if names[5:] else ''}); take more exact"
            " numbers (--dtype float32 or float64)."
        )


def smaller(
    plan: memory_plan.Plan, error: Exception, notes: list[str], model: Model
) -> memory_plan.Plan:
    """Half the plan after running out of memory; any other error goes on."""
    if not isinstance(
        error, (torch.OutOfMemoryError, MemoryError)
    ) and "not enough memory" not in str(error):
        raise error
    less = plan.halved()
    if less is None:
        raise UserError(
            "Out of memory with a single text and head in flight; shorten the texts, take a smaller"
            " model or a machine with more memory."
        ) from error
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    notes.append(
        f"Out of memory with {plan.streams} token streams in flight; went on with {less.streams}."
    )
    warnings.warn(notes[-1], stacklevel=4)
    return less


def finished(
    model: Model,
    task: Task,
    pool,
    method: str,
    settings: ScoreConfig,
    out: torch.Tensor,
    notes: list[str],
) -> Scores:
    if settings.normalise == "layer":
        out = out / out.double().nanmean(0).abs().nanmean(-1)[None, :, None].float()
    about = {
        "model": model.name,
        "model_type": model.model_type,
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "n_kv_heads": model.n_kv_heads,
        "task": task.name,
    }
    return Scores(
        out, [row.id for row in pool], [row.label for row in pool], method, settings, about, notes
    )
