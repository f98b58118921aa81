"""The iterations of discovery (CT-SFT, arXiv 2601.08146), from a pool to a circuit.

Iteration 0 targets the logits, iteration d the heads that iteration d - 1 added. Each adds the best
`fraction` of all heads among those that are not in the circuit yet. Every head has edges: its
relevance for each target it was chosen for.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch

from ctsft.attribution.means import Means, Progress
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scores import Head, Scores
from ctsft.attribution.scoring_pass import ScoringPass, run_pass
from ctsft.circuit.circuit import LOGITS, Circuit, Edge, model_fields
from ctsft.circuit.selection import heads_in_fraction
from ctsft.data.task import Example, Task
from ctsft.model.loading import as_model
from ctsft.utils.errors import UserError


def discover(
    model,
    task: Task,
    pool: list[Example],
    means: Means,
    depth: int = 1,
    fraction: float = 0.02,
    **config,
) -> Circuit:
    """The circuit after iterations 0 to `depth`; `config` are keywords of `score_heads`:
    `progress`, `cache` and the fields of `ScoreConfig`.

    Raises UserError for a negative depth or a fraction outside (0, 1], and as `score_heads` does.
    """
    *_, (circuit, _) = iterations(model, task, pool, means, depth, fraction, **config)
    return circuit


def iterations(
    model,
    task: Task,
    pool: list[Example],
    means: Means,
    depth: int,
    fraction: float,
    **config,
) -> Iterator[tuple[Circuit, Scores]]:
    """The circuit after each iteration, with the iteration's scores. Ends early when no earlier
    layer is left. Raises UserError as `discover` does.
    """
    model, progress = as_model(model), config.pop("progress", None)
    if depth < 0:
        raise UserError(f"depth is {depth}; choose 0 (heads that act on the logits), 1 or more.")
    size = heads_in_fraction(fraction, model.n_layers * model.n_heads)
    why: dict[Head, str] = {}
    edges: tuple[Edge, ...] = ()
    targets: tuple[Head, ...] = ()
    for step in range(depth + 1):
        if step and not any(layer for layer, _ in targets):
            return
        settings = config | {"targets": targets}
        if config.get("adaptive"):
            settings |= {"k": size, "skip": tuple(sorted(why))}
        report = step_progress(progress, step, depth + 1)
        scores = score_heads(model, task, pool, means, progress=report, **settings)
        added = [head for head in scores.ranking() if head not in why][:size]
        aim = f"the heads of iteration {step - 1}" if targets else "the logits"
        for rank, head in enumerate(added, 1):
            score = scores.values[head].item()
            why[head] = f"iteration {step}: rank {rank} for {aim}, score {score:.3g}"
        scoring = ScoringPass(model, task, pool, means, "cdt", scores.config)
        edges += edges_from(added, scores, scoring)
        targets = tuple(added)
        rule = {
            "name": "discover",
            "depth": step,
            "fraction": fraction,
            "method": "cdt",
            "attention": scores.config.attention,
        }
        yield (
            Circuit(frozenset(why), dict(why), model_fields(scores.about), rule, edges=edges),
            scores,
        )


def step_progress(progress: Progress | None, step: int, steps: int) -> Progress | None:
    """The progress of one of several steps, as a part of all."""
    if progress is None:
        return None
    return lambda done, total: progress(step + done / total, steps)


def edges_from(heads: list[Head], scores: Scores, scoring: ScoringPass) -> tuple[Edge, ...]:
    """The relevance of each of `heads` for each single target of an iteration. The mean over all
    targets is the head's score; a target in an earlier or the same layer counts as 0.
    """
    if not scores.config.targets:
        return tuple((head, LOGITS, scores.values[head].item()) for head in heads)
    edges = []
    for target in scores.config.targets:
        earlier = [head for head in heads if head[0] < target[0]]
        if not earlier:
            continue
        mask = torch.zeros(scores.values.shape, dtype=torch.bool)
        for head in earlier:
            mask[head] = True
        settings = replace(scores.config, targets=(target,))
        relevance, _ = run_pass(replace(scoring, settings=settings), heads=mask)
        edges += [
            (head, target, relevance[:, head[0], head[1]].double().mean().item())
            for head in earlier
        ]
    return tuple(edges)
