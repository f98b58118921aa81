"""Did the circuit move? A tuned model's heads scored on the very examples that they were scored on
before tuning.

The discovery set is that of the model before tuning, which answers all of it rightly; means and
scores are taken anew on the tuned model. So nothing differs between the two maps but the weights.
How much each head changed is told by the run's delta.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ctsft import runs
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scores import Scores
from ctsft.jobs.export import base_path
from ctsft.jobs.reporter import Reporter, finish
from ctsft.jobs.requests import Scoring, Subject
from ctsft.jobs.results import save_scores
from ctsft.jobs.scoring import pool_and_means
from ctsft.model.evaluation import accuracy
from ctsft.runs import results
from ctsft.runs.recorder import Writer
from ctsft.tuning.delta import apply_delta
from ctsft.tuning.delta_comparison import head_changes
from ctsft.utils.errors import UserError
from ctsft.utils.statistics import spearman


def rescore(run: Writer, tuned: str, scoring: Scoring, k: int = 6, cache: bool = True) -> dict:
    """before.safetensors and after.safetensors (scores), and a summary: `agreement` of the two,
    `changes` by head, how many of the discovery set's examples the tuned model still answers
    rightly. `tuned`: the id of a tuning run. UserError for a run without a delta.
    """
    about = runs.get(tuned)
    path = about.file("delta.safetensors")
    if not path.is_file():
        raise UserError(
            f"Run {tuned!r} has no tuned model to score: it is a run of kind {about.request.kind!r}"
            f" in state {about.status().state!r}; name a fine-tuning run that is done or was"
            " stopped (see `python -m ctsft compare`)."
        )
    subject = Subject(**about.request.params["subject"])
    run.add_params(tuned=tuned, k=k)
    model, task, language, pool, means, reporter = pool_and_means(
        run, replace(subject, model=base_path(about)), scoring, cache
    )
    fits(k, len(model.heads))
    before = passed(
        reporter, "scoring heads before tuning", model, task, pool, means, scoring, cache
    )
    save_scores(run, before, "before")
    reporter.stage("what changed")
    changes = head_changes(model, path)
    model = apply_delta(model, path)
    means = label_balanced_means(
        model,
        task,
        pool,
        scoring.positions,
        reporter.stage("means after tuning"),
        cache,
        scoring.max_memory,
    )
    after = passed(reporter, "scoring heads after tuning", model, task, pool, means, scoring, cache)
    save_scores(run, after, "after")
    return finish(
        run,
        {
            "tuned": tuned,
            "model": subject.model,
            "task": task.name,
            "language": language,
            "method": before.method,
            "examples": len(pool),
            "right": accuracy(model, task, pool),
            "changes": changes,
            **agreement(before, after, k),
        },
    )


def passed(
    reporter: Reporter, stage: str, model, task, pool, means, scoring: Scoring, cache: bool
) -> Scores:
    scores = score_heads(
        model,
        task,
        pool,
        means,
        scoring.method,
        reporter.stage(stage),
        cache=cache,
        **scoring.config,
    )
    reporter.tell(stage, scores.notes)
    return scores


def agreement(before: Scores, after: Scores, k: int) -> dict:
    """{"spearman", "k", "stayed", "left", "came"}: rank correlation over the heads that both score
    (NaN where one ranks nothing), and what became of the k top heads, each list in the order of
    the scores that it was taken from. UserError for a k that the model has not.
    """
    fits(k, before.values.numel())
    first, last = before.ranking()[:k], after.ranking()[:k]
    return {
        "spearman": spearman(before.values, after.values),
        "k": k,
        "stayed": kept(first, last),
        "left": kept(first, set(first) - set(last)),
        "came": kept(last, set(last) - set(first)),
    }


def fits(k: int, n_heads: int):
    if not 1 <= k <= n_heads:
        raise UserError(f"k is {k}, and the model has {n_heads} heads; choose 1 to {n_heads}.")


def kept(heads: Iterable, these) -> list[list[int]]:
    return [list(head) for head in heads if head in these]


def newest(tuned: str) -> runs.Run | None:
    """The newest rescoring of a tuning run."""
    return next(
        (run for run in runs.list_runs("rescore") if run.request.params.get("tuned") == tuned), None
    )


def scores_of(run: runs.Run) -> tuple[Scores, Scores] | None:
    """Scores before and after; None while either is not there."""
    paths: list[Path] = [run.file(f"{when}.safetensors") for when in ("before", "after")]
    return (
        tuple(map(Scores.load, paths))
        if results.result(run) and all(path.is_file() for path in paths)
        else None
    )
