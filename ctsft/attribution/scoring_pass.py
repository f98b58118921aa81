"""One scoring pass over a pool: plan the memory, run a method batch by batch, collect the scores.

Several processes share the work. When memory runs out, the pass continues with half as much at a
time. Scores that are NaN or infinite are left out with a note.
"""

import warnings
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import torch

from ctsft.attribution.means import Means, Progress
from ctsft.attribution.methods import METHODS
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scoring_batch import ScoringBatch
from ctsft.data.task import Example, Task
from ctsft.model import memory_plan
from ctsft.model.activations import scratch
from ctsft.model.batching import Batch, batches, pad
from ctsft.model.evaluation import direction_weights
from ctsft.model.model import Model
from ctsft.model.process_memory import limited_memory
from ctsft.utils import distributed
from ctsft.utils.errors import UserError

# methods that need a pass for every head, not one for all heads
HEAD_BY_HEAD = ("cdt", "ablation")
NAMED_HEADS = 5  # in a note


@dataclass(frozen=True)
class ScoringPass:
    """What is scored: the heads of a model on a pool, by a method with its settings."""

    model: Model
    task: Task
    pool: Sequence[Example]
    means: Means
    method: str
    settings: ScoreConfig

    @property
    def shape(self) -> tuple[int, int, int]:
        """Examples, layers, heads in a layer."""
        return len(self.pool), self.model.n_layers, self.model.n_heads

    @cached_property
    def blocks(self) -> list[int]:
        """The relative cost of a head of each layer that is a source."""
        return blocks_to_compute(self.method, self.settings, self.model.n_layers)

    @cached_property
    def sources(self) -> torch.Tensor:
        """The heads that can be scored, [layer, head] bool."""
        sources = torch.zeros(self.shape[1:], dtype=torch.bool)
        sources[: len(self.blocks)] = True
        return sources

    @cached_property
    def label_tokens(self) -> list[int]:
        return list(self.task.label_ids(self.model).values())

    @cached_property
    def direction(self) -> torch.Tensor:
        """Weights of the labels' logits, [example, label]."""
        gold = torch.tensor([self.task.labels.index(row.label) for row in self.pool])
        return direction_weights(gold, len(self.label_tokens))

    @cached_property
    def mu(self) -> torch.Tensor:
        return self.means.values.to(self.model.device, self.model.dtype)


def blocks_to_compute(method: str, settings: ScoreConfig, n_layers: int) -> list[int]:
    """The relative cost of a head of each source layer: for CD-T the blocks on its way to the
    target, otherwise the same for all.
    """
    layers = settings.source_layers(n_layers)
    if method == "cdt":
        return [layers - layer for layer in range(layers)]
    return [1] * layers


def run_pass(
    scoring: ScoringPass,
    rows: list[int] | None = None,
    heads: torch.Tensor | None = None,
    progress: Progress | None = None,
) -> tuple[torch.Tensor, list[str]]:
    """Scores [example, layer, head] of some rows and heads (bool [layer, head]; both default to
    all), NaN elsewhere, and notes for the reader.

    Raises UserError when no score is finite, or when the memory cannot hold one head of one text.
    """
    rows = list(range(len(scoring.pool))) if rows is None else rows
    sources = scoring.sources if heads is None else scoring.sources & heads
    share = local_share(scoring, rows, sources)
    scores, notes = compute_scores(scoring, share, progress)
    scores = distributed.merge_filled(scores, scoring.model.device)
    requested = torch.zeros_like(scores, dtype=torch.bool)
    requested[rows] = sources
    scores, left_out = leave_out_not_finite(scores, requested)
    return scores, notes + left_out


@dataclass(frozen=True)
class Share:
    """The part of a pass that one process computes."""

    encoded: dict[int, list[int]]  # token ids of all requested rows
    rows: list[int]
    heads_by_layer: dict[int, list[int]] | None

    def cost(self, blocks: list[int]) -> float:
        """Blocks x heads x examples; `blocks`: of a head of each layer."""
        heads = sum(blocks[layer] * len(heads) for layer, heads in self.heads_by_layer.items())
        return float(len(self.rows) * heads)


def local_share(scoring: ScoringPass, rows: list[int], sources: torch.Tensor) -> Share:
    """Processes share the heads where each head needs a pass, and the texts otherwise."""
    encoded = {row: scoring.task.encode(scoring.model, scoring.pool[row]) for row in rows}
    heads = [(layer, head) for layer, head in sources.nonzero().tolist()]
    if scoring.method in HEAD_BY_HEAD:
        heads = distributed.local_share(heads)
    else:
        rows = distributed.local_share(rows)
    by_layer: dict[int, list[int]] = {layer: [] for layer in range(len(scoring.blocks))}
    for layer, head in heads:
        by_layer[layer].append(head)
    return Share(encoded, rows, by_layer)


class WorkCounter:
    """Passes the work done so far, in blocks x heads x examples, to `progress`."""

    def __init__(self, progress: Progress | None, total: float):
        self.progress, self.total, self.done = progress, total or 1.0, 0.0

    def add(self, work: float) -> None:
        self.done += work
        if self.progress:
            self.progress(min(self.done, self.total), self.total)


def compute_scores(
    scoring: ScoringPass, share: Share, progress: Progress | None
) -> tuple[torch.Tensor, list[str]]:
    """The scores of this process's share, [example, layer, head], NaN elsewhere; notes."""
    model, settings, blocks = scoring.model, scoring.settings, scoring.blocks
    scores, notes = torch.full(scoring.shape, float("nan")), []
    counter = WorkCounter(progress, share.cost(blocks))
    waiting = deque([share.rows] if share.rows else [])
    with ExitStack() as stack:
        stack.callback(scratch.clear)
        stack.enter_context(limited_memory(settings.max_memory, model.device))
        plan = first_plan(scoring, share)
        while waiting:
            rows = waiting.popleft()
            for batch in batches(model, [share.encoded[row] for row in rows], plan.tokens):
                index = torch.tensor([rows[i] for i in batch.index])
                done_before = counter.done
                try:
                    for layer, heads, part in METHODS[scoring.method].run(
                        scoring_batch(scoring, share, plan, batch, index)
                    ):
                        scores[index[:, None], layer, torch.tensor(heads)] = part.float().cpu()
                        counter.add(len(heads) * len(index) * blocks[layer])
                except (RuntimeError, MemoryError) as error:
                    plan, note = smaller_plan(plan, error, model)
                    notes.append(note)
                    counter.done = done_before
                    # this batch again, with less at a time; the others keep their size
                    waiting.append(index.tolist())
    return scores, notes


def first_plan(scoring: ScoringPass, share: Share) -> memory_plan.Plan:
    settings = scoring.settings
    longest, symmetric = max(map(len, share.encoded.values())), settings.rules == "symmetric"
    work = memory_plan.Workload(scoring.method, longest, len(share.encoded), symmetric)
    return memory_plan.make_plan(scoring.model, work, settings.batch_tokens, settings.max_memory)


def scoring_batch(
    scoring: ScoringPass, share: Share, plan: memory_plan.Plan, batch: Batch, index: torch.Tensor
) -> ScoringBatch:
    """`index`: the rows of the batch in the pool."""
    return ScoringBatch(
        scoring.model,
        batch,
        scoring.label_tokens,
        scoring.direction[index].to(scoring.model.device, scoring.model.dtype),
        scoring.mu,
        scoring.settings,
        plan,
        share.heads_by_layer,
    )


def single_batch(scoring: ScoringPass) -> ScoringBatch:
    """The whole pool as one padded batch, every head."""
    encoded = [scoring.task.encode(scoring.model, row) for row in scoring.pool]
    share = Share(dict(enumerate(encoded)), list(range(len(encoded))), None)
    reads_first = scoring.model.architecture.reads_first
    batch = pad(encoded, scoring.model.device, reads_first=reads_first)
    return scoring_batch(
        scoring, share, first_plan(scoring, share), batch, torch.tensor(batch.index)
    )


def leave_out_not_finite(
    scores: torch.Tensor, requested: torch.Tensor
) -> tuple[torch.Tensor, list[str]]:
    """The scores with NaN, which no mean counts, for infinite ones; and a note that names the
    heads. Raises UserError when none of the requested scores is finite.
    """
    lost = requested & ~scores.isfinite()
    if not lost.any():
        return scores, []
    if torch.equal(lost, requested):
        raise UserError(
            f"All {requested.sum()} scores are NaN or infinite; use more precise numbers (--dtype"
            " float32 or float64), or check the model's weights."
        )
    names = [f"L{layer}.H{head}" for layer, head in lost.any(0).nonzero().tolist()]
    more = ", ..." if len(names) > NAMED_HEADS else ""
    note = (
        f"{lost.sum()} of {requested.sum()} scores are NaN or infinite and are left out of the"
        f" means ({', '.join(names[:NAMED_HEADS])}{more}); use more precise numbers (--dtype"
        " float32 or float64)."
    )
    return scores.masked_fill(lost, float("nan")), [note]


def smaller_plan(
    plan: memory_plan.Plan, error: Exception, model: Model
) -> tuple[memory_plan.Plan, str]:
    """Half the plan and a note, after memory ran out. Raises any other error again, and UserError
    when the plan cannot be halved.
    """
    memory_ran_out = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    if not memory_ran_out and "not enough memory" not in str(error):
        raise error
    smaller = plan.halved()
    if smaller is None:
        raise UserError(
            "Out of memory with a single text and head at a time; shorten the texts, use a smaller"
            " model or a machine with more memory."
        ) from error
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    note = (
        f"Out of memory with {plan.streams} token streams at a time; continued with"
        f" {smaller.streams}."
    )
    warnings.warn(note, stacklevel=5)
    return smaller, note
