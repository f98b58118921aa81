"""Did the circuit change? The heads of a tuned model, scored on the same examples as before tuning.

The discovery set is that of the model before tuning, which predicts all of it correctly; means and
scores are computed again on the tuned model. So the two maps differ in the weights only. The run's
delta says how much each head changed.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.jobs.export import base_path
from ctsft.jobs.reporter import finish
from ctsft.jobs.requests import RescoreRequest, needed_request, request_of
from ctsft.jobs.results import save_scores
from ctsft.jobs.scoring import open_discovery
from ctsft.model.evaluation import accuracy
from ctsft.runs import results
from ctsft.runs.writer import Writer
from ctsft.tuning.delta import apply_delta
from ctsft.tuning.delta_comparison import head_changes
from ctsft.utils.errors import UserError
from ctsft.utils.statistics import spearman


def rescore(run: Writer, request: RescoreRequest) -> dict:
    """before.safetensors and after.safetensors (scores), and a summary: `agreement` of the two,
    `changes` by head, the share of the discovery set that the tuned model still predicts
    correctly. UserError for a run without a delta.
    """
    tuned = runs.get(request.tuned)
    path = tuned.file("delta.safetensors")
    if not path.is_file():
        raise UserError(
            f"Run {tuned.id!r} has no tuned model to score: it is a run of kind"
            f" {tuned.request.kind!r} in state {tuned.status().state!r}; name a fine-tuning run"
            " that is done or was stopped (see `python -m ctsft compare`)."
        )
    subject = needed_request(tuned).subject
    before_tuning = replace(subject, model=base_path(tuned))
    discovery = open_discovery(run, before_tuning, request.scoring, request.cache)
    check_count(request.k, len(discovery.model.heads))
    before = discovery.score("scoring heads before tuning")
    save_scores(run, before, "before")
    discovery.reporter.stage("what changed")
    changes = head_changes(discovery.model, path)
    model = apply_delta(discovery.model, path)
    discovery = discovery.measured_again(model, "means after tuning")
    after = discovery.score("scoring heads after tuning")
    save_scores(run, after, "after")
    summary = {
        "tuned": tuned.id,
        "model": subject.model,
        "task": discovery.task.name,
        "language": discovery.language,
        "method": before.method,
        "examples": len(discovery.pool),
        "right": accuracy(model, discovery.task, discovery.pool),
        "changes": changes,
        **agreement(before, after, request.k),
    }
    return finish(run, summary)


def agreement(before: Scores, after: Scores, k: int) -> dict:
    """{"spearman", "k", "stayed", "left", "came"}: rank correlation over the heads that both score
    (NaN where one ranks nothing), and what became of the k top heads, each list in the order of
    the scores that it was taken from. UserError for a k that the model has not.
    """
    check_count(k, before.values.numel())
    first, last = before.ranking()[:k], after.ranking()[:k]
    return {
        "spearman": spearman(before.values, after.values),
        "k": k,
        "stayed": those_in(first, last),
        "left": those_in(first, set(first) - set(last)),
        "came": those_in(last, set(last) - set(first)),
    }


def check_count(k: int, n_heads: int):
    """UserError for a number of heads that the model does not have."""
    if not 1 <= k <= n_heads:
        raise UserError(f"k is {k}, and the model has {n_heads} heads; choose 1 to {n_heads}.")


def those_in(heads: Iterable, chosen) -> list[list[int]]:
    return [list(head) for head in heads if head in chosen]


def newest(tuned: str) -> runs.Run | None:
    """The newest rescoring of a tuning run."""
    for run in runs.list_runs("rescore"):
        request = request_of(run)
        if request is not None and request.tuned == tuned:
            return run
    return None


def scores_of(run: runs.Run) -> tuple[Scores, Scores] | None:
    """Scores before and after; None while either is not there."""
    paths: list[Path] = [run.file(f"{when}.safetensors") for when in ("before", "after")]
    return (
        tuple(map(Scores.load, paths))
        if results.result(run) and all(path.is_file() for path in paths)
        else None
    )
