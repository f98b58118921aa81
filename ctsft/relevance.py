"""Score every head of a model on a pool of examples: plan, run a method batch by batch, collect.

The task's direction is `gold logit minus the mean of the other labels' logits` at the readout (CT-SFT, arXiv 2601.08146).
"""
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import torch

from ctsft import planning
from ctsft.answers import directions
from ctsft.errors import UserError
from ctsft.loading import as_model
from ctsft.means import Means, Progress
from ctsft.methods import METHODS, Job
from ctsft.models import Model
from ctsft.scores import Head, ScoreConfig, Scores
from ctsft.tasks import Example, Task
from ctsft.trace import batches


def score_heads(model, task: Task, pool: Sequence[Example], means: Means, method: str = "cdt",
                progress: Progress | None = None, **config) -> Scores:
    """Score every head on `pool`; `config` are the fields of `ScoreConfig`. `progress(done, total)` counts work, not seconds.

    Raises UserError for an unknown method or setting, an empty pool, means of another model's shape, or too little memory.
    """
    model = as_model(model)
    settings = settle(model, pool, means, method, config)
    out = torch.full((len(pool), model.n_layers, model.n_heads), float("nan"))
    notes: list[str] = []
    sweep(model, task, pool, means, method, settings, out, progress, notes)
    return finished(model, task, pool, method, settings, out, notes)


def settle(model: Model, pool, means: Means, method: str, config: dict) -> ScoreConfig:
    """The settings of a pass, checked against its model and means."""
    if method not in METHODS:
        raise UserError(f"{method!r} is not a scoring method; choose from {', '.join(METHODS)}.")
    unknown = set(config) - set(ScoreConfig.__dataclass_fields__)
    if unknown:
        raise UserError(f"{sorted(unknown)[0]!r} is not a setting of score_heads; choose from {', '.join(ScoreConfig.__dataclass_fields__)}.")
    settings = ScoreConfig(**config)
    settings = replace(settings, positions=settings.positions or means.positions, targets=tuple(sorted(map(tuple, settings.targets))))
    if method != "cdt" and (settings.targets or settings.score != "signed" or settings.rules != "paper"):
        raise UserError(f"Head targets, magnitude scores and rules are defined for method 'cdt' only, and the method is {method!r}.")
    shape = (model.n_layers, model.n_heads, model.d_head)
    if tuple(means.values.shape) != shape:
        raise UserError(f"The means have the shape {tuple(means.values.shape)}, and this model needs {shape}; take them with this model.")
    if not pool:
        raise UserError("There are no examples to score; give at least one.")
    return settings


def cost(method: str, settings: ScoreConfig, n_layers: int) -> list[int]:
    """Relative work of a head of each layer that is a source: the blocks on its way."""
    last = max(layer for layer, _ in settings.targets) if settings.targets else n_layers
    return [last - layer for layer in range(last)] if method == "cdt" else [1] * last


def sweep(model: Model, task: Task, pool, means: Means, method: str, settings: ScoreConfig, out: torch.Tensor,
          progress: Progress | None, notes: list[str], wanted: dict[int, list[int]] | None = None):
    """Fill `out` [example, layer, head] where heads are `wanted` (all when None)."""
    tokens = list(task.label_ids(model).values())
    gold = directions(torch.tensor([task.labels.index(row.label) for row in pool]), len(tokens))
    mu = means.values.to(model.device, model.dtype)
    encoded = [task.encode(model, row) for row in pool]
    plan = planning.make(model, method, max(map(len, encoded)), settings.batch_tokens, settings.max_memory)
    work = cost(method, settings, model.n_layers)
    done, total = 0.0, float(len(pool) * sum(work[layer] * (model.n_heads if wanted is None else len(wanted.get(layer, ())))
                                             for layer in range(len(work))))
    waiting = deque([list(range(len(pool)))])
    while waiting:
        rows = waiting.popleft()
        for batch in batches(model, [encoded[row] for row in rows], plan.tokens):
            index = torch.tensor([rows[i] for i in batch.index])
            job = Job(model, batch, tokens, gold[index].to(model.device, model.dtype), mu, settings, plan, wanted)
            began = done
            try:
                for layer, heads, part in METHODS[method](job):
                    out[index[:, None], layer, torch.tensor(heads)] = part.float().cpu()
                    done += len(heads) * len(index) * work[layer]
                    if progress:
                        progress(done, total)
            except (RuntimeError, MemoryError) as error:
                plan, done = smaller(plan, error, notes, model), began
                waiting.append(index.tolist())                     # once more, with less in flight; other batches go on as they were cut


def smaller(plan: planning.Plan, error: Exception, notes: list[str], model: Model) -> planning.Plan:
    """Half the plan after running out of memory; any other error goes on."""
    if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and "not enough memory" not in str(error):
        raise error
    less = plan.halved()
    if less is None:
        raise UserError("Out of memory with a single text and head in flight; shorten the texts, take a smaller model or a machine with "
                        "more memory.") from error
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    notes.append(f"Out of memory with {plan.streams} token streams in flight; went on with {less.streams}.")
    warnings.warn(notes[-1], stacklevel=4)
    return less


def finished(model: Model, task: Task, pool, method: str, settings: ScoreConfig, out: torch.Tensor, notes: list[str]) -> Scores:
    if settings.normalise == "layer":
        out = out / out.double().nanmean(0).abs().nanmean(-1)[None, :, None].float()
    about = {"model": model.name, "model_type": model.model_type, "n_layers": model.n_layers, "n_heads": model.n_heads,
             "n_kv_heads": model.n_kv_heads, "task": task.name}
    return Scores(out, [row.id for row in pool], [row.label for row in pool], method, settings, about, notes)


__all__ = ["METHODS", "Head", "ScoreConfig", "Scores", "score_heads"]
