"""Are the scores true? Every way of ranking heads, held against what ablating heads does.

    agreement     rank correlation and top heads in common with mean ablation of single heads
                  (METHOD "two companions"), and the price
    faithfulness  what a ranking's first heads keep of the task on unseen rows, beside a band of
                  random circuits of the same size
                  (the check of CD-T, arXiv 2407.00886, which counts the random circuits that are beaten)
    stability     how far the top heads agree between discovery pools (CT-SFT, arXiv 2601.08146,
                  reports the top head alone)

`m(empty)`, `m(full)`, the band and every set of heads are measured once, whichever ranking asks.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations

import numpy as np

from ctsft.attribution.means import Means, Progress, label_balanced_means
from ctsft.attribution.methods import VARIANTS
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.faithfulness import Faithfulness, ablated
from ctsft.circuit.selection import select, share_of
from ctsft.data.task import Example, Task, balanced_sample
from ctsft.model.evaluation import label_logits
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.utils.errors import UserError
from ctsft.utils.statistics import spearman

TRUTH = "ablation"

# shares of the heads whose overlap is counted
TOPS = (0.02, 0.1)

# shares of the heads whose faithfulness is measured
SIZES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
MEASURES = ("accuracy", "margin")

# stage(name) -> progress(done, total)
Stage = Callable[[str], Progress]


@dataclass(frozen=True)
class Checks:
    """How much is checked."""

    # mean ablation is always among them
    methods: tuple[str, ...] = tuple(VARIANTS)
    size: int = 50  # texts of a discovery set
    # draws the first discovery set and the rows
    seed: int = 0
    rows: int = 100  # unseen rows at most; 0: all
    # random circuits of each size; 0: none
    n_random: int = 50
    # discovery sets, seeds 0, 1, 2 ...; 0: no look at stability
    pools: int = 10
    # rankings whose stability is looked at
    stable: tuple[str, ...] = ("cdt", "atp")

    def __post_init__(self):
        for name in (*self.methods, *self.stable):
            if name not in VARIANTS:
                raise UserError(
                    f"{name!r} is not a way to rank heads; choose from {', '.join(VARIANTS)}."
                )
        for name in ("rows", "n_random", "pools"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; give 0 or more.")
        if self.pools == 1:
            raise UserError(
                "One pool has nothing to be compared with; give pools=0 (none) or at least 2."
            )
        object.__setattr__(self, "methods", tuple(dict.fromkeys((TRUTH, *self.methods))))


@dataclass(frozen=True)
class Validation:
    """What was found so far. Undefined numbers are NaN, and null in JSON."""

    n_layers: int
    n_heads: int
    examples: int  # of the discovery set
    rows: int  # faithfulness is measured on
    # method: spearman, overlap, layers, and what it cost
    agreement: dict[str, dict] = field(default_factory=dict)
    # a size's band: {measure: {mean, low, high}}, 5th and 95th percentile
    random: list[dict] = field(default_factory=list)
    # method, size, accuracy, margin, beats (share of random margins below)
    curves: list[dict] = field(default_factory=list)
    stability: dict[str, dict] = field(default_factory=dict)  # method: jaccard, top1, tops

    def words(self) -> dict:
        """Ready for JSON."""
        return plain(asdict(self))


def plain(words: dict) -> dict:
    """The same for JSON, which has no NaN: what is undefined is null."""
    return json.loads(json.dumps(words), parse_constant=lambda word: None)


def validate(
    model,
    task: Task,
    source: list[Example],
    rows: list[Example],
    checks: Checks | None = None,
    stage: Stage | None = None,
) -> Iterator[tuple[dict, Validation]]:
    """What was found last, and the report with it; the last is whole. Discovery sets come from
    `source`, faithfulness is measured on `rows`.

    Raises UserError as `discovery_set` and `score_heads` do, or without rows.
    """
    model, checks, stage = (
        as_model(model),
        checks or Checks(),
        stage or (lambda name: lambda done, total: None),
    )
    if not rows:
        raise UserError("There are no rows to measure faithfulness on; give at least one.")
    rows = balanced_sample(rows, min(checks.rows or len(rows), len(rows)), task.labels, checks.seed)
    pool, means = drawn(model, task, source, checks, checks.seed)
    report, before = (
        Validation(model.n_layers, model.n_heads, len(pool), len(rows)),
        forward_seconds(model, task, pool),
    )
    found: dict[str, Scores] = {}
    for name in checks.methods:
        variant = VARIANTS[name]
        found[name], seconds = timed(
            score_heads,
            model,
            task,
            pool,
            means,
            variant.method,
            stage(f"scoring: {name}"),
            **variant.settings,
        )
        after = forward_seconds(model, task, pool)
        # what else the machine does comes and goes
        one, before = (before + after) / 2, after
        row = agreement(found[name], found[TRUTH]) | {
            "seconds": seconds,
            "forward_seconds": one,
            "passes": seconds / one,
        }
        report = replace(report, agreement=report.agreement | {name: row})
        yield {"part": "agreement", "method": name, **row}, report
    for part, row in curves(
        Meter(model, task, rows, means), found, checks.n_random, stage("faithfulness")
    ):
        report = replace(report, **{part: [*getattr(report, part), row]})
        yield {"part": part, **row}, report
    for name in checks.stable if checks.pools else ():
        row = stability(model, task, source, name, checks, stage(f"stability: {name}"))
        report = replace(report, stability=report.stability | {name: row})
        yield {"part": "stability", "method": name, **row}, report


def drawn(
    model: Model, task: Task, source: list[Example], checks: Checks, seed: int
) -> tuple[list[Example], Means]:
    """A discovery set and its means."""
    pool = discovery_set(model, task, source, checks.size, seed)
    return pool, label_balanced_means(model, task, pool)


def timed(work: Callable, *args, **config):  # -> what it returns, seconds
    began = time.perf_counter()
    return work(*args, **config), time.perf_counter() - began


def forward_seconds(model: Model, task: Task, pool: list[Example]) -> float:
    """Of one plain forward pass over the pool, the fastest of three."""
    return min(timed(label_logits, model, task, pool)[1] for _ in range(3))


def agreement(scores: Scores, truth: Scores) -> dict:
    """Spearman over all heads, top heads in common by share of the heads, mean score by layer."""
    n, mine, theirs = scores.values.numel(), scores.ranking(), truth.ranking()
    tops = {share: share_of(share, n) for share in TOPS}
    return {
        "spearman": spearman(scores.values, truth.values),
        "overlap": [
            {"share": share, "k": k, "common": len(set(mine[:k]) & set(theirs[:k]))}
            for share, k in tops.items()
        ],
        "layers": scores.values.mean(1).tolist(),
    }


@dataclass(frozen=True)
class Meter:
    """Faithfulness of sets of heads, each set measured once."""

    model: Model
    task: Task
    rows: list[Example]
    means: Means
    known: dict[frozenset, dict[str, float]] = field(default_factory=dict)

    def measured(self, heads) -> dict[str, float]:
        key = frozenset(heads)
        if key not in self.known:
            self.known[key] = ablated(self.model, self.task, key, self.rows, self.means)
        return self.known[key]

    def ratio(self, heads) -> Faithfulness:
        sets = {"circuit": heads, "empty": (), "full": self.model.heads}
        return Faithfulness(
            {name: self.measured(these) for name, these in sets.items()}, len(self.rows)
        )


def curves(
    meter: Meter, found: dict[str, Scores], n_random: int, progress: Progress
) -> Iterator[tuple[str, dict]]:
    """("random", a size's band) and ("curves", a ranking's point), one size after another."""
    n, some = len(meter.model.heads), next(iter(found.values()))
    sizes = sorted({share_of(share, n) for share in SIZES})
    done, total = 0, len(sizes) * (n_random + len(found))
    for size in sizes:
        random: list[Faithfulness] = []
        for seed in range(n_random if size < n else 0):
            random.append(meter.ratio(select(some, "random", k=size, seed=seed).heads))
            progress(done + len(random), total)
        done += n_random
        if random:
            yield (
                "random",
                {
                    "size": size,
                    "n": n_random,
                    **{name: band([one.ratio(name) for one in random]) for name in MEASURES},
                },
            )
        for name, scores in found.items():
            own = meter.ratio(scores.ranking()[:size])
            beats = (
                float(np.mean([own.margin > one.margin for one in random]))
                if random
                else float("nan")
            )
            done += 1
            progress(done, total)
            yield (
                "curves",
                {
                    "method": name,
                    "size": size,
                    "accuracy": own.accuracy,
                    "margin": own.margin,
                    "beats": beats,
                },
            )


def band(values: list[float]) -> dict[str, float]:
    low, high = np.percentile(values, (5, 95))
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}


def stability(
    model: Model, task: Task, source: list[Example], name: str, checks: Checks, progress: Progress
) -> dict:
    """Top heads of several discovery sets: mean Jaccard over pairs of sets, and the share of pairs
    with the same first head.
    """
    variant = VARIANTS[name]
    tops: list[list[Head]] = []
    texts: list[set[str]] = []
    for seed in range(checks.pools):
        pool, means = drawn(model, task, source, checks, seed)
        scores = score_heads(model, task, pool, means, variant.method, **variant.settings)
        tops.append(scores.ranking()[: share_of(TOPS[0], scores.values.numel())])
        texts.append({row.id for row in pool})
        progress(seed + 1, checks.pools)
    return {
        "pools": len(tops),
        "k": len(tops[0]),
        "jaccard": jaccard(tops),
        "top1": top_agreement(tops),
        "texts_jaccard": jaccard(texts),
        "tops": [[list(head) for head in top] for top in tops],
    }


def jaccard(sets) -> float:
    """Mean over pairs of sets: shared members by members of either."""
    return float(
        np.mean([len(set(a) & set(b)) / len(set(a) | set(b)) for a, b in combinations(sets, 2)])
    )


def top_agreement(tops: list[list[Head]]) -> float:
    """Share of pairs whose first head is the same."""
    return float(np.mean([a[0] == b[0] for a, b in combinations(tops, 2)]))
