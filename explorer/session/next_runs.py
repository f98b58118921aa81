"""What follows a finished run, with its settings: the same over more seeds, and the controls that
it is compared with; no streamlit.
"""

from dataclasses import replace

from ctsft import runs
from ctsft.jobs.request_parts import CONTROLS
from ctsft.jobs.requests import (
    FinetuneRequest,
    SubjectRequest,
    Tuning,
    needed_request,
)
from ctsft.runs import results
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.recipes import RECIPES
from explorer.session import own_runs, score_runs

SEEDS = (31, 777, 2025, 12345)  # the paper's
# recipes that train heads, and norms with them
SLICES = tuple(name for name, one in RECIPES.items() if one.needs_heads and name != "lora_circuit")
COMPARED = ("near_zero", "random", "full")
KEEPING = ("hold", "replay", "ewc", "l2", "kl")  # ways of keeping the source
# settings that other recipes do not read, or that are a way of keeping the source
OF_RECIPE = ("kv", "norms", "lora_rank", "lora_targets", *KEEPING)


def repeats(run: runs.Run) -> list[FinetuneRequest]:
    """The run with other seeds, so that there are four in all."""
    request = needed_request(run)
    others = [seed for seed in SEEDS if seed != request.config.seed][: len(SEEDS) - 1]
    return missing([with_seed(request, seed) for seed in others])


def with_seed(request: FinetuneRequest, seed: int) -> FinetuneRequest:
    """The seed draws the rows, their order and random heads."""
    update = {"config": request.config.model_copy(update={"seed": seed})}
    if request.tuning.what == "random":
        update["scoring"] = replace(request.scoring, seed=seed)
    return fresh(request, **update)


def on(request: FinetuneRequest, target: str, n: int, seed: int) -> FinetuneRequest:
    """The same way of tuning on another target, number of rows and seed. Advice that was given is
    of one target and its rows, so it is taken again.
    """
    tuning = request.tuning
    advice = tuning.advice if (target, n) == (tuning.target, tuning.n) else None
    changed = replace(
        tuning,
        target=target,
        n=n,
        advice=advice,
        related=tuple(name for name in tuning.related if name != target),
    )
    return with_seed(request.model_copy(update={"tuning": changed}), seed)


def controls(run: runs.Run, score_run: runs.Run | None) -> list[FinetuneRequest]:
    """The run with near-zero heads, random heads and everything in place of what it trained, on the
    same rows with the same settings. Without scores of the run's model, only everything: the heads
    are chosen by scores.
    """
    request = needed_request(run)
    scored = has_scores(request, score_run)
    names = [name for name in COMPARED if scored or name not in CONTROLS]
    if not any(getattr(request.config, way) for way in KEEPING):
        names = [name for name in names if name != request.tuning.what]
    return missing([control(run, name, score_run) for name in names])


def control(run: runs.Run, what: str, score_run: runs.Run | None = None) -> FinetuneRequest:
    """The run with another recipe. Settings that the recipe does not read are the usual ones, and
    nothing keeps the source.
    """
    request, defaults = needed_request(run), TuneConfig()
    fields = {"circuit": None, "scores": None, "advice": None, "base": None, "k": Tuning.k}
    usual, scoring = set(OF_RECIPE), request.scoring
    if what in CONTROLS:
        fields |= {"scores": score_run.id, "k": results.result(run).get("heads") or Tuning.k}
        if request.tuning.what in SLICES:
            usual -= {"kv", "norms"}
    if what == "random":
        scoring = replace(scoring, seed=request.config.seed)
    return fresh(
        request,
        scoring=scoring,
        tuning=replace(request.tuning, what=what, **fields),
        config=request.config.model_copy(update={name: getattr(defaults, name) for name in usual}),
    )


def has_scores(request: FinetuneRequest, score_run: runs.Run | None) -> bool:
    """Whether a scoring run is of the model, the data and the source language of a tuning run."""

    def scored_subject(one: SubjectRequest) -> tuple:
        subject = one.subject
        return subject.model, subject.task, subject.data_dir, subject.language or one.facts.source

    return score_run is not None and scored_subject(needed_request(score_run)) == scored_subject(
        request
    )


def fresh(request: FinetuneRequest, **update) -> FinetuneRequest:
    """A request of its own: without the name, the time and the facts of the run that it follows."""
    fields = {name: getattr(request, name) for name in ("subject", "scoring", "tuning", "config")}
    return FinetuneRequest(**(fields | update))


def missing(requests: list[FinetuneRequest]) -> list[FinetuneRequest]:
    """The requests that no run has answered, or is answering."""
    states = ("queued", "running", "stopping", "done")
    return [request for request in requests if not score_runs.find_same(request, states)]


def start(requests: list[FinetuneRequest]) -> list[runs.Run]:
    """They wait for each other in the queue of this machine."""
    return [own_runs.start(request) for request in requests]
