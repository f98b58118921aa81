"""Jobs started from a session's choices as detached runs."""

from dataclasses import asdict

from ctsft import runs
from ctsft.jobs.requests import Scoring, Subject, Tuning
from explorer.session.score_runs import score_run
from explorer.session.view import View

ACTIVE = ("queued", "running", "stopping")


def subject_words(subject: Subject) -> list[str]:
    words = ["--model", subject.model, "--task", subject.task, "--split", subject.split]
    words += ["--language", subject.language] if subject.language else []
    return words + (["--data-dir", subject.data_dir] if subject.data_dir else [])


def scoring_words(scoring: Scoring) -> list[str]:
    return [
        "--method",
        scoring.method,
        "--attention",
        scoring.attention,
        "--size",
        str(scoring.size),
        "--pool-seed",
        str(scoring.seed),
    ]


def start_score(view: View) -> runs.Run:
    words = [
        "score",
        *subject_words(view.subject),
        *scoring_words(view.scoring),
        "--positions",
        view.positions,
        "--rules",
        view.rules,
        "--preview",
    ]
    return runs.start(words, {"subject": asdict(view.subject), "scoring": asdict(view.scoring)})


def ensure_score(view: View) -> runs.Run:
    """The scoring run of these settings that is done or under way; otherwise a new one."""
    return score_run(("done", *ACTIVE)) or start_score(view)


def discovery(view: View) -> dict:
    """What determines a discovery of the view, beside its subject."""
    return {
        "depth": view.depth,
        "fraction": view.each,
        "attention": view.attention,
        "rules": view.rules,
        "size": view.size,
        "seed": view.pool_seed,
    }


def start_discovery(view: View) -> runs.Run:
    """The paper's iterations: heads that act on the logits, then heads that act on those."""
    words = [
        "discover",
        *subject_words(view.subject),
        "--depth",
        str(view.depth),
        "--fraction",
        f"{view.each:g}",
        "--attention",
        view.attention,
        "--rules",
        view.rules,
        "--size",
        str(view.size),
        "--pool-seed",
        str(view.pool_seed),
    ]
    return runs.start(words, {"subject": asdict(view.subject), "discovery": discovery(view)})


def start_curve(view: View, scored: runs.Run, n_random: int, split: str = "valid") -> runs.Run:
    """Faithfulness against circuit size for the ranking of a scoring run."""
    subject = view.subject
    words = [
        "faithfulness",
        *subject_words(Subject(**{**asdict(subject), "split": split})),
        "--scores",
        scored.id,
        "--random",
        str(n_random),
    ]
    return runs.start(words, {"scores": scored.id, "n_random": n_random, "rows_split": split})


def start_checks(view: View, n_random: int, pools: int) -> runs.Run:
    """How true the scores are: every way of ranking heads against ablation, random circuits and
    other pools.
    """
    words = [
        "validate",
        *subject_words(view.subject),
        "--size",
        str(view.size),
        "--pool-seed",
        str(view.pool_seed),
        "--random",
        str(n_random),
        "--pools",
        str(pools),
    ]
    return runs.start(words, {"subject": asdict(view.subject)})


def start_advice(view: View, k: int) -> runs.Run:
    """Which heads should move: advice on the rows that Fine-tune would draw; k of them become its
    circuit file.
    """
    tuning = Tuning(view.target, "advised", k=k, n=view.n)
    words = [
        "advise",
        *subject_words(view.subject),
        "--target",
        view.target,
        "--n",
        str(view.n),
        "--seed",
        str(view.tune_seed),
        "--k",
        str(k),
    ]
    return runs.start(
        words, {"subject": asdict(view.subject), "tuning": asdict(tuning), "seed": view.tune_seed}
    )


def start_competence(view: View, epochs: int = 3, lr: float = 5e-5) -> runs.Run:
    """Full tuning on the source language; the tuned model is kept as a folder that Setup can
    load.
    """
    words = [
        "finetune",
        *subject_words(view.subject),
        "--target",
        view.source,
        "--what",
        "full",
        "--n",
        "0",
        "--epochs",
        str(epochs),
        "--lr",
        f"{lr:g}",
        "--eval-split",
        "valid",
        "--save-model",
    ]
    return runs.start(
        words,
        {"competence": view.model, "subject": asdict(view.subject)},
        name=f"competence of {view.model}",
    )
