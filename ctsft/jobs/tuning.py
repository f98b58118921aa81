"""The fine-tuning job: from words to a tuned model, its delta and its curves in a run folder;
resumes where it was cut off.
"""

from dataclasses import asdict, replace
from pathlib import Path

from ctsft.attribution.score_heads import score_heads
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.data.registry import load_task
from ctsft.data.task import Example
from ctsft.jobs.advice import read_advice, take_advice
from ctsft.jobs.reporter import Reporter, begin, finish
from ctsft.jobs.requests import Scoring, Subject, Tuning, base_model
from ctsft.jobs.results import read_scores, save_scores
from ctsft.jobs.scoring import pool_and_means
from ctsft.jobs.tuning_rows import tuning_rows
from ctsft.model.device import choose_device
from ctsft.model.evaluation import evaluate, metric_changes
from ctsft.runs.folder import Run
from ctsft.runs.recorder import Writer
from ctsft.tuning.checkpoints import newest_checkpoint
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.finetune import NotFinite, TuneResult, Watch, finetune
from ctsft.tuning.recipes import RECIPES, find_recipe, trainable_of
from ctsft.utils import atomic_files, distributed
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError


def tune(
    run: Writer, subject: Subject, scoring: Scoring, tuning: Tuning, config: TuneConfig
) -> dict:
    """delta.safetensors, result.json, one event an evaluation; resumes from the run folder's newest
    checkpoint.
    """
    chosen = find_recipe(tuning.what)
    if chosen.from_file and not tuning.circuit:
        raise UserError(
            f"{tuning.what!r} moves the heads of a circuit file; name it with --circuit."
        )
    subject = replace(subject, model=base_model(subject, tuning)) if chosen.from_base else subject
    device = choose_device("cpu" if subject.device == "map" else subject.device)
    # the folder of the process that keeps the run
    first = Run(Path(distributed.broadcast(str(run.path), device)))
    checkpoints, resume = first.file("checkpoints"), distributed.broadcast(begun(first), device)
    task = load_task(subject.task, subject.data_dir)
    source = subject.language or task.source
    # refused before anything is scored
    train, sets = tuning_rows(task, source, subject.split, tuning, config.seed)
    last = (
        {name: task.load(name, tuning.final_split) for name in sets}
        if tuning.final_split not in (None, tuning.eval_split)
        else {}
    )
    found = distributed.broadcast(first.file("circuit.json").is_file(), device)
    choice = (
        circuit_of(run, subject, scoring, tuning, train, first if found else None)
        if chosen.needs_heads
        else None
    )
    reporter = Reporter(run, stoppable=False)
    reporter.stage("loading the model")
    model, task, source = subject.open()
    begin(
        run,
        subject,
        model,
        {"train": train, **sets},
        tuning=asdict(tuning),
        config=config.model_dump(),
    )
    if choice is not None:
        choice.check(model).save(run.file("circuit.json"))
    moves = trainable_of(model, tuning.what, choice, config.norms, config.extra)
    checkpoints.mkdir(exist_ok=True)
    watch = Watch(
        event=lambda row: run.event(kind="evaluation", **row),
        progress=reporter.stage("tuning"),
        stop=lambda: bool(run.stop_requested()),
        folder=checkpoints,
        resume=resume,
        resumed=lambda step, history: run.event(kind="resumed", step=step, history=history),
    )
    words = {
        "model": model.name,
        "task": task.name,
        "source": source,
        "target": tuning.target,
        "what": tuning.what,
        "heads": None if choice is None else len(choice),
        "n": len(train),
        "rows": {name: len(rows) for name, rows in sets.items()},
        "config": config.model_dump(),
    }

    def keep(result: TuneResult) -> dict:
        with atomic_path(run.file("delta.safetensors"), "the delta") as part:
            result.delta.save(part)
        return finish(
            run,
            words
            | {
                "trainable": result.trainable,
                "total": result.total,
                "stopped": result.stopped,
                "history": result.history,
            },
        )

    final = (
        {
            "split": tuning.final_split,
            "before": {name: evaluate(model, task, rows) for name, rows in last.items()},
        }
        if last
        else None
    )
    try:
        result = finetune(model, task, moves, train, sets, config, watch)
    except NotFinite as error:
        # the model is back at its last good state
        keep(error.result)
        raise
    model = result.model
    if final:
        final["after"] = {name: evaluate(model, task, rows) for name, rows in last.items()}
        final |= metric_changes(final["before"], final["after"], source, tuning.target)
        words["final"] = final
    if tuning.save_model:
        with atomic_path(run.file("model"), "the tuned model") as part:
            model.hf.save_pretrained(part)
            model.tokenizer.save_pretrained(part)
    summary = keep(result)
    if not result.stopped:
        atomic_files.remove(checkpoints)  # nothing is left to resume
    return summary


def begun(run: Run) -> bool:
    """Whether there is something to resume."""
    return any(row.get("kind") == "evaluation" for row in run.events()) or bool(
        newest_checkpoint(run.file("checkpoints"))
    )


def circuit_of(
    run: Writer,
    subject: Subject,
    scoring: Scoring,
    tuning: Tuning,
    train: list[Example],
    kept: Run | None,
) -> Circuit:
    """The heads that are to move: from a file, or by rule from scores, which are computed where
    none are named.

    kept: the run whose circuit.json holds them already (a resumed run moves what it moved before).
    """
    rule = RECIPES[tuning.what].rule
    if tuning.circuit and rule in ("top", None):
        return Circuit.load(tuning.circuit)
    if kept:
        return Circuit.load(kept.file("circuit.json"))
    if rule == "advised":
        return (
            read_advice(tuning.advice)
            if tuning.advice
            else take_advice(run, subject, tuning, train)[0]
        ).circuit(tuning.k)
    if tuning.scores:
        scores = read_scores(tuning.scores)
    else:
        model, task, _, pool, means, reporter = pool_and_means(run, subject, scoring)
        scores = score_heads(
            model,
            task,
            pool,
            means,
            scoring.method,
            reporter.stage("scoring heads"),
            cache=True,
            **scoring.config,
        )
        reporter.tell("scoring heads", scores.notes)
        save_scores(run, scores, "scores")
    return select(scores, rule, k=tuning.k, **({"seed": scoring.seed} if rule == "random" else {}))
