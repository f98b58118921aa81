"""Requests from a session's choices: what a page starts, and what it looks for among the runs."""

from dataclasses import replace

from ctsft.jobs.requests import (
    AdviseRequest,
    Checks,
    DiscoverRequest,
    FaithfulnessRequest,
    FinetuneRequest,
    ScoreRequest,
    Scoring,
    SurrogateRequest,
    TemplateChecks,
    TuneConfig,
    Tuning,
    ValidateRequest,
)
from explorer.session.view import View


def score_request(view: View) -> ScoreRequest:
    return ScoreRequest(subject=view.subject, scoring=view.scoring, preview=True)


def discover_request(view: View) -> DiscoverRequest:
    """The paper's iterations: heads that act on the logits, then heads that act on those."""
    scoring = Scoring(
        size=view.size, seed=view.pool_seed, attention=view.attention, rules=view.rules
    )
    return DiscoverRequest(
        subject=view.subject, scoring=scoring, depth=view.depth, fraction=view.each
    )


def curve_request(
    view: View, scores: str, n_random: int, split: str = "valid"
) -> FaithfulnessRequest:
    """Faithfulness against circuit size for the ranking of the scoring run `scores`."""
    subject = replace(view.subject, split=split)
    return FaithfulnessRequest(subject=subject, scores=scores, n_random=n_random)


def circuit_request(view: View, scores: str, circuit: str) -> FaithfulnessRequest:
    """Faithfulness of one circuit file on validation rows."""
    subject = replace(view.subject, split="valid")
    return FaithfulnessRequest(subject=subject, scores=scores, circuit=circuit)


def surrogate_request(view: View, scores: str) -> SurrogateRequest:
    """What predicts the faithfulness of any circuit with the means of the scoring run `scores`."""
    return SurrogateRequest(subject=replace(view.subject, split="valid"), scores=scores)


def validate_request(view: View, n_random: int, pools: int) -> ValidateRequest:
    """Every ranking against mean ablation, random circuits and other discovery sets."""
    checks = Checks(size=view.size, seed=view.pool_seed, n_random=n_random, pools=pools)
    return ValidateRequest(subject=view.subject, checks=checks)


def templates_request(view: View, templates: TemplateChecks, file: str) -> ValidateRequest:
    """What head maps depend on: the prompt, the language, the texts. `file`: of the templates."""
    return ValidateRequest(
        subject=view.subject, templates=templates, templates_file=file, only_templates=True
    )


def advise_request(view: View, k: int) -> AdviseRequest:
    """Advice on the rows that Fine-tune would draw; k heads become its circuit file."""
    return AdviseRequest(
        subject=view.subject, target=view.target, k=k, n=view.n, seed=view.tune_seed
    )


def competence_request(view: View, epochs: int = 3, lr: float = 5e-5) -> FinetuneRequest:
    """Full tuning on the source language; the tuned model is saved as a folder that Setup can
    load.
    """
    tuning = Tuning(
        target=view.source, what="full", n=0, eval_split="valid", final_split=None, save_model=True
    )
    return FinetuneRequest(
        name=f"competence of {view.model}",
        subject=view.subject,
        tuning=tuning,
        config=TuneConfig(epochs=epochs, learning_rate=lr),
    )
