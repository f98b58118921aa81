"""The method's iterations (CT-SFT, arXiv 2601.08146), from a pool to a circuit.

Iteration 0 targets the logits, iteration d the heads kept at d - 1; each keeps the best `fraction`
of all heads among those not kept yet; the circuit is the union. Each head comes with its edges:
what it does for each target it was chosen for.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch

from ctsft.attribution.means import Means, Progress
from ctsft.attribution.score_heads import score_heads, sweep
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import LOGITS, Circuit, Edge, shape_of
from ctsft.circuit.selection import share_of
from ctsft.data.task import Example, Task
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.utils.errors import UserError


def discover(
    model,
    task: Task,
    pool: list[Example],
    means: Means,
    depth: int = 1,
    fraction: float = 0.02,
    progress: Progress | None = None,
    **config,
) -> Circuit:
    """The method's circuit after iterations 0 to `depth`; `config` are settings of `ScoreConfig`.

    Raises UserError for a negative depth or a fraction outside (0, 1].
    """
    *_, (circuit, _) = iterations(model, task, pool, means, depth, fraction, progress, **config)
    return circuit


def iterations(
    model,
    task: Task,
    pool,
    means: Means,
    depth: int,
    fraction: float,
    progress: Progress | None = None,
    **config,
) -> Iterator[tuple[Circuit, Scores]]:
    """The growing circuit and the scores of each iteration. Ends early when no earlier layer is
    left to look in.
    """
    model = as_model(model)
    if depth < 0:
        raise UserError(f"depth is {depth}; choose 0 (heads that act on the logits), 1 or more.")
    size, why, edges, targets = share_of(fraction, model.n_layers * model.n_heads), {}, (), ()
    for step in range(depth + 1):
        if step and not any(layer for layer, _ in targets):
            return
        report = progress and (
            lambda done, total, step=step: progress(step + done / total, depth + 1)
        )
        only = {"k": size, "skip": tuple(sorted(why))} if config.get("adaptive") else {}
        scores = score_heads(
            model, task, pool, means, progress=report, **config | {"targets": targets} | only
        )
        new = [head for head in scores.ranking() if head not in why][:size]
        aim = "the logits" if not targets else "the heads of iteration " + str(step - 1)
        why |= {
            head: (
                f"iteration {step}: rank {i + 1} for {aim}, score {scores.values[head].item():.3g}"
            )
            for i, head in enumerate(new)
        }
        edges += edges_to(model, task, pool, means, new, scores)
        targets = tuple(new)
        rule = {
            "name": "discover",
            "depth": step,
            "fraction": fraction,
            "method": "cdt",
            "attention": scores.config.attention,
        }
        yield Circuit(frozenset(why), dict(why), shape_of(scores.about), rule, edges=edges), scores


def edges_to(
    model: Model, task: Task, pool, means: Means, heads: list[Head], scores: Scores
) -> tuple[Edge, ...]:
    """What each of `heads` does for each single target of an iteration; over all targets (0 for one
    that is not behind it) its mean is the score.
    """
    if not scores.config.targets:
        return tuple((head, LOGITS, scores.values[head].item()) for head in heads)
    edges = []
    for target in scores.config.targets:
        before = [head for head in heads if head[0] < target[0]]
        where, out = (
            torch.zeros(scores.values.shape, dtype=torch.bool),
            torch.full((len(pool), *scores.values.shape), float("nan")),
        )
        for head in before:
            where[head] = True
        if before:
            sweep(
                model,
                task,
                pool,
                means,
                "cdt",
                replace(scores.config, targets=(target,)),
                out,
                None,
                [],
                where,
            )
        edges += [
            (head, target, out[:, head[0], head[1]].double().mean().item()) for head in before
        ]
    return tuple(edges)
