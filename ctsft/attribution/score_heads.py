"""Score every head of a model on a pool of examples.

The task's direction is the gold label's logit minus the mean of the other labels' logits at the
readout (CT-SFT, arXiv 2601.08146). A head's score is what it contributes to that direction, by one
of `methods.METHODS`.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch

from ctsft.attribution.adaptive import TopHeadsSearch, find_top_heads
from ctsft.attribution.certified import ESTIMATE_PASSES, STEPS, budget_of, certify
from ctsft.attribution.learned_ranking import learn_ranking
from ctsft.attribution.means import Means, Progress
from ctsft.attribution.methods import METHODS, check_single_texts
from ctsft.attribution.pool import rows_as_tokens
from ctsft.attribution.position_pass import TOP_HEADS, score_positions
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.attribution.scoring_pass import ScoringPass, run_pass
from ctsft.cache.entry import Entry
from ctsft.cache.hashing import tensors_hash
from ctsft.data.task import Example, Task
from ctsft.model.fingerprint import model_identity
from ctsft.model.loading import as_model
from ctsft.utils import distributed
from ctsft.utils.errors import UserError

ADAPTIVE_FRACTION = 0.02  # of all heads: how many an adaptive pass finds by default
# settings that do not change the scores
MEMORY_SETTINGS = ("batch_tokens", "max_memory")


def score_heads(
    model,
    task: Task,
    pool: Sequence[Example],
    means: Means,
    method: str = "cdt",
    progress: Progress | None = None,
    **config,
) -> Scores:
    """Score every head on `pool`; `config` are the fields of `ScoreConfig`, and `cache`.

    `positions="each"`: the scores are those of "all", and `by_position` holds those of single
    positions for `heads` [(layer, head), ...], or else for the first `k` (default 5) of them.
    `progress(done, total)` counts work, not seconds. `cache=True` stores the scores on disk, and
    returns stored ones for the same question (`notes` say so). Raises UserError for an unknown
    method or setting, an empty pool, means of another model's shape, or too little memory.
    """
    model, cache = as_model(model), config.pop("cache", False)
    by_position = config.get("positions") == "each"
    heads = config.pop("heads", None) if by_position else None
    if by_position:
        config["positions"] = "all"
    settings = check_settings(pool, means, method, config)
    means.check(model)
    if by_position:
        check_single_texts(method)
    scoring = ScoringPass(model, task, pool, means, method, settings)
    scores = all_heads(scoring, cache, progress)
    if not by_position:
        return scores
    chosen = scores.ranking()[: settings.k or TOP_HEADS] if heads is None else heads
    return replace(scores, by_position=score_positions(scoring, chosen, progress))


def all_heads(scoring: ScoringPass, cache: bool, progress: Progress | None) -> Scores:
    """The scores of a pass, stored ones where `cache` allows it."""
    entry = cache_entry(scoring) if cache else None
    stored = entry.read() if entry else None
    # with several processes, all of them must have the stored scores
    if distributed.all_agree(bool(stored), scoring.model.device) and stored:
        if progress:
            progress(1.0, 1.0)
        tensors, fields = stored
        notes = [*fields["notes"], fields["note"]]
        return to_scores(scoring, tensors["per_example"], notes, fields["certificate"])
    certificate = {}
    if METHODS[scoring.method].run is None:
        per_example, notes = learn_ranking(scoring, progress)
    elif scoring.settings.adaptive:
        per_example, notes = run_adaptive_pass(scoring, progress)
    elif scoring.settings.certified:
        per_example, notes, certificate = run_certified_pass(scoring, progress)
    else:
        per_example, notes = run_pass(scoring, progress=progress)
    if entry and distributed.RANK == 0:
        entry.write({"per_example": per_example}, {"notes": notes, "certificate": certificate})
    return to_scores(scoring, per_example, notes, certificate)


def check_settings(pool: Sequence[Example], means: Means, method: str, config: dict) -> ScoreConfig:
    """The settings of a pass, with the positions of its means by default. Raises UserError."""
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
    for_cdt_only = (
        settings.targets,
        settings.score != "signed",
        settings.rules != "paper",
        settings.adaptive,
    )
    if method != "cdt" and any(for_cdt_only):
        raise UserError(
            "Head targets, magnitude scores, rules and adaptive passes are defined for method"
            f" 'cdt' only, and the method is {method!r}."
        )
    if settings.certified and method != "ablation":
        raise UserError(
            "A certified pass finds the top heads of mean ablation; choose method 'ablation', and"
            f" the method is {method!r}."
        )
    if not pool:
        raise UserError("There are no examples to score; give at least one.")
    return settings


def cache_entry(scoring: ScoringPass) -> Entry:
    """The place of a pass's scores on disk, before they are normalised; its key holds everything
    that determines them.
    """
    settings = asdict(scoring.settings)
    for name in MEMORY_SETTINGS:
        del settings[name]
    return Entry(
        "scores",
        model_identity(scoring.model),
        {"task": scoring.task.name, "what": f"{scoring.method}, {len(scoring.pool)} texts"},
        settings
        | {
            "method": scoring.method,
            "rows": rows_as_tokens(scoring.model, scoring.task, scoring.pool),
            "labels": scoring.label_tokens,
            "means": tensors_hash({"": scoring.means.values}),
        },
        by=METHODS[scoring.method].run or learn_ranking,
    )


def run_adaptive_pass(
    scoring: ScoringPass, progress: Progress | None
) -> tuple[torch.Tensor, list[str]]:
    """Scores [example, layer, head], NaN where none was needed, and notes; see `adaptive`."""
    n_heads = scoring.model.n_layers * scoring.model.n_heads
    k = scoring.settings.k or max(1, int(ADAPTIVE_FRACTION * n_heads + 1e-9))
    search = TopHeadsSearch(
        [row.label for row in scoring.pool],
        scoring.shape[1:],
        k,
        scoring.blocks,
        scoring.settings.skip,
    )
    notes: list[str] = []

    def measure(rows: list[int], heads: torch.Tensor) -> torch.Tensor:
        scores, new_notes = run_pass(scoring, rows, heads, progress)
        notes.extend(new_notes)
        return scores

    scores, summary = find_top_heads(search, measure)
    return scores, [summary, *notes]


def run_certified_pass(
    scoring: ScoringPass, progress: Progress | None
) -> tuple[torch.Tensor, list[str], dict]:
    """Effects [example, layer, head], notes and the certificate; see `certified`."""
    n_heads, notes, passes = scoring.shape[1] * scoring.shape[2], [], 0.0
    k = scoring.settings.k or max(1, int(ADAPTIVE_FRACTION * n_heads + 1e-9))
    budget = budget_of(n_heads)
    single = replace(scoring.settings, certified=False, steps=STEPS)
    estimating = replace(scoring, method="ig", settings=single)

    def measure(rows: list[int], heads: torch.Tensor) -> torch.Tensor:
        nonlocal passes
        effects, new_notes = run_pass(scoring, rows, heads)
        notes.extend(note for note in new_notes if note not in notes)
        passes += len(rows) * (1 + int(heads.sum())) / len(scoring.pool)
        if progress:
            progress(min(ESTIMATE_PASSES + passes, budget), budget)
        return effects

    def estimated(done: float, total: float):
        if progress:
            progress(ESTIMATE_PASSES * done / total, budget)

    estimate, first_notes = run_pass(estimating, progress=estimated)
    effects, certificate = certify(estimate.nan_to_num(), min(k, n_heads), measure)
    if progress:
        progress(budget, budget)
    return effects, [certificate.sentence(), *first_notes, *notes], certificate.as_json()


def to_scores(
    scoring: ScoringPass, per_example: torch.Tensor, notes: list[str], certificate: dict
) -> Scores:
    """The result of a pass; `per_example` is [example, layer, head]."""
    model, settings = scoring.model, scoring.settings
    if settings.normalise == "layer":
        size = per_example.double().nanmean(0).abs().nanmean(-1)
        per_example = per_example / size[None, :, None].float()
    about = {
        "model": model.name,
        "model_type": model.model_type,
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "n_kv_heads": model.n_kv_heads,
        "task": scoring.task.name,
    }
    return Scores(
        per_example,
        [row.id for row in scoring.pool],
        [row.label for row in scoring.pool],
        scoring.method,
        settings,
        about,
        notes,
        certificate,
    )
