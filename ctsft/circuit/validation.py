"""Are the scores right? Every variant of scoring, compared with the effect of ablating heads.

    agreement     rank correlation and top heads in common with mean ablation of single heads, and
                  the cost
    faithfulness  how much of the task a ranking's first heads do on unseen rows, beside the band of
                  random circuits of the same size (the check of CD-T, arXiv 2407.00886, which
                  counts the random circuits that are less faithful)
    areas         the same over all sizes in two numbers, CPR and CMD (`circuit_areas`)
    stability     how far the top heads agree between discovery sets (CT-SFT, arXiv 2601.08146,
                  reports the first head alone)

m(empty), m(full), the band and every set of heads are measured once for all variants.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ctsft.attribution.means import Means, Progress, label_balanced_means
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scores import Head, Scores
from ctsft.attribution.variants import VARIANTS
from ctsft.circuit.checks import Checks
from ctsft.circuit.circuit_areas import circuit_areas
from ctsft.circuit.faithfulness import CircuitMeter, Faithfulness, check_rows
from ctsft.circuit.ranking_agreement import (
    TOP_SHARES,
    agreement,
    first_head_agreement,
    jaccard,
)
from ctsft.circuit.selection import heads_in_fraction, select
from ctsft.data.task import Example, Task, balanced_sample
from ctsft.model.evaluation import label_logits
from ctsft.model.loading import as_model
from ctsft.model.model import Model

# shares of all heads whose faithfulness is measured
CURVE_SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
MEASURES = ("accuracy", "margin")
BAND_PERCENTILES = (5, 95)
FORWARD_REPEATS = 3

# stage(name) -> progress(done, total)
Stage = Callable[[str], Progress]


@dataclass(frozen=True)
class Validation:
    """The report so far. Undefined numbers are NaN, and null in JSON."""

    n_layers: int
    n_heads: int
    examples: int  # of the discovery set
    rows: int  # on which faithfulness is measured
    # by variant: spearman, overlap, layers, and the cost
    agreement: dict[str, dict] = field(default_factory=dict)
    # by size the band of random circuits: {measure: {mean, low, high}, distance}
    random: list[dict] = field(default_factory=list)
    # method, size, accuracy, margin, beats (the share of random circuits with a lower margin)
    curves: list[dict] = field(default_factory=list)
    # `circuit_areas.circuit_areas`: CPR and CMD of each variant, and the best by each; {} before
    areas: dict = field(default_factory=dict)
    # by variant: jaccard, top1, tops
    stability: dict[str, dict] = field(default_factory=dict)

    def as_json(self) -> dict:
        return without_nan(asdict(self))


def without_nan(content: dict) -> dict:
    """The same for JSON, which has no NaN: undefined numbers become null."""
    return json.loads(json.dumps(content), parse_constant=lambda constant: None)


def validate(
    model,
    task: Task,
    source: list[Example],
    rows: list[Example],
    checks: Checks | None = None,
    stage: Stage | None = None,
) -> Iterator[tuple[dict, Validation]]:
    """The latest result, and the report so far; the last report is complete. Discovery sets come
    from `source`, faithfulness is measured on `rows`.

    Raises UserError as `discovery_set` and `score_heads` do, and without rows.
    """
    model, checks = as_model(model), checks or Checks()
    stage = stage or (lambda name: lambda done, total: None)
    check_rows(rows)
    rows = balanced_sample(rows, min(checks.rows or len(rows), len(rows)), task.labels, checks.seed)
    validator = _Validator(model, task, source, checks)
    pool, means = validator.pool_and_means(checks.seed)
    report = Validation(model.n_layers, model.n_heads, len(pool), len(rows))
    scores: dict[str, Scores] = {}
    for name, variant_scores, row in validator.agreements(pool, means, stage):
        scores[name] = variant_scores
        report = replace(report, agreement=report.agreement | {name: row})
        yield {"part": "agreement", "method": name, **row}, report
    meter = CircuitMeter(model, task, rows, means)
    for part, row in curves(meter, scores, checks.n_random, stage("faithfulness")):
        report = replace(report, **{part: [*getattr(report, part), row]})
        yield {"part": part, **row}, report
    report = replace(report, areas=circuit_areas(meter, scores, curve_sizes(meter), report.random))
    yield {"part": "areas", **report.areas}, report
    for name in checks.stable if checks.pools else ():
        row = validator.stability(name, stage(f"stability: {name}"))
        report = replace(report, stability=report.stability | {name: row})
        yield {"part": "stability", "method": name, **row}, report


@dataclass(frozen=True)
class _Validator:
    """Scores heads of a model on discovery sets from `source`."""

    model: Model
    task: Task
    source: list[Example]
    checks: Checks

    def pool_and_means(self, seed: int) -> tuple[list[Example], Means]:
        """A discovery set and its means."""
        pool = discovery_set(self.model, self.task, self.source, self.checks.size, seed)
        return pool, label_balanced_means(self.model, self.task, pool)

    def score(
        self, name: str, pool: list[Example], means: Means, progress: Progress | None = None
    ) -> Scores:
        """Scores by one of VARIANTS."""
        variant = VARIANTS[name]
        return score_heads(
            self.model, self.task, pool, means, variant.method, progress, **variant.settings
        )

    def agreements(
        self, pool: list[Example], means: Means, stage: Stage
    ) -> Iterator[tuple[str, Scores, dict]]:
        """Each variant's name, scores, and its agreement with the reference and cost."""
        reference = None
        before = self.forward_seconds(pool)
        for name in self.checks.methods:
            began = time.perf_counter()
            scores = self.score(name, pool, means, stage(f"scoring: {name}"))
            seconds = time.perf_counter() - began
            reference = reference or scores
            after = self.forward_seconds(pool)
            # the mean of both, since other work on the machine comes and goes
            forward, before = (before + after) / 2, after
            cost = {
                "seconds": seconds,
                "forward_seconds": forward,
                "passes": seconds / forward,
            }
            yield name, scores, agreement(scores, reference) | cost

    def forward_seconds(self, pool: list[Example]) -> float:
        """Seconds of one plain forward pass over the pool, the fastest of `FORWARD_REPEATS`."""
        times = []
        for _ in range(FORWARD_REPEATS):
            began = time.perf_counter()
            label_logits(self.model, self.task, pool)
            times.append(time.perf_counter() - began)
        return min(times)

    def stability(self, name: str, progress: Progress) -> dict:
        """The top heads by one variant on several discovery sets: the mean Jaccard index over pairs
        of sets, and the share of pairs with the same first head.
        """
        tops: list[list[Head]] = []
        texts: list[set[str]] = []
        for seed in range(self.checks.pools):
            pool, means = self.pool_and_means(seed)
            scores = self.score(name, pool, means)
            tops.append(scores.ranking()[: heads_in_fraction(TOP_SHARES[0], scores.values.numel())])
            texts.append({row.id for row in pool})
            progress(seed + 1, self.checks.pools)
        return {
            "pools": len(tops),
            "k": len(tops[0]),
            "jaccard": jaccard(tops),
            "top1": first_head_agreement(tops),
            "texts_jaccard": jaccard(texts),
            "tops": [[list(head) for head in top] for top in tops],
        }


def curve_sizes(meter: CircuitMeter) -> list[int]:
    """`CURVE_SHARES` of the model's heads as numbers of heads."""
    n_heads = len(meter.model.heads)
    return sorted({heads_in_fraction(share, n_heads) for share in CURVE_SHARES})


def curves(
    meter: CircuitMeter, scores: dict[str, Scores], n_random: int, progress: Progress
) -> Iterator[tuple[str, dict]]:
    """("random", the band of a size) and ("curves", the point of a variant), size after size."""
    n_heads, sizes = len(meter.model.heads), curve_sizes(meter)
    done, total = 0, len(sizes) * (n_random + len(scores))
    any_scores = next(iter(scores.values()))  # a random circuit depends on their shape alone
    for size in sizes:
        random: list[Faithfulness] = []
        # all circuits of every head are the same
        for seed in range(n_random if size < n_heads else 0):
            circuit = select(any_scores, "random", k=size, seed=seed)
            random.append(meter.faithfulness(circuit.heads))
            progress(done + len(random), total)
        done += n_random
        if random:
            bands = {name: band([one.ratio(name) for one in random]) for name in MEASURES}
            distance = float(np.mean([abs(1 - one.margin) for one in random]))
            yield "random", {"size": size, "n": n_random, **bands, "distance": distance}
        for name, variant_scores in scores.items():
            ranked = meter.faithfulness(variant_scores.ranking()[:size])
            done += 1
            progress(done, total)
            yield (
                "curves",
                {
                    "method": name,
                    "size": size,
                    "accuracy": ranked.accuracy,
                    "margin": ranked.margin,
                    "beats": share_below(ranked.margin, [one.margin for one in random]),
                },
            )


def band(values: list[float]) -> dict[str, float]:
    """Mean, and the values at `BAND_PERCENTILES`."""
    low, high = np.percentile(values, BAND_PERCENTILES)
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}


def share_below(value: float, others: list[float]) -> float:
    """The share of `others` that are smaller; NaN without others."""
    return float(np.mean([value > other for other in others])) if others else float("nan")
