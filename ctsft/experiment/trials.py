"""The trials of an experiment, one after another in one process.

The model is loaded once, and its values are restored before each trial (`TrialContext`). A trial is
what `python -m ctsft finetune` would do with the request in its run folder, without checkpoints: a
trial that is interrupted is run again.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import torch

import ctsft
from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import rows_hash
from ctsft.experiment.trial_context import TrialContext
from ctsft.jobs.experiment_design import METHODS, Trial
from ctsft.jobs.measured_change import measure_shares, outside_of_change, share_rows
from ctsft.jobs.reporter import Stopped, finish
from ctsft.jobs.requests import FinetuneRequest, Scoring, TrialOf
from ctsft.jobs.tuning_rows import answered, rows_of
from ctsft.model.evaluation import evaluate, metric_changes
from ctsft.runs.folder import Run
from ctsft.runs.results import perplexity_ends, result
from ctsft.runs.writer import Writer
from ctsft.tuning.delta import Delta
from ctsft.tuning.evaluation_sets import measure_set
from ctsft.tuning.finetune import TuneResult, Watch, finetune
from ctsft.tuning.recipes import trainable_of

Save = Callable[[TuneResult, Circuit | None], None]


def run_trial(
    context: TrialContext,
    trial: Trial,
    stop: Callable[[], object],
    save: Save = lambda result, circuit: None,
) -> dict:
    """Tune and measure.

    Returns {"before", "after": {language: metrics}, "forgetting", "plasticity", "loss", "steps",
    "epoch", "trainable", "changed", "total", "heads", "course" (evaluations on validation rows, if
    the design has them), "outside", "shares" (as in a tuning run's result), "perplexity"
    ({"before", "after"}) and "at_share" ({"share", "after"}) if the design has them, "train",
    "seconds"}.
    `save(result, circuit)` is called with the tuned model. Raises `Stopped` when `stop()` is true
    after a step.
    """
    began = time.monotonic()
    train, languages = context.train_rows(trial), context.languages(trial)
    circuit = context.circuit(trial, train)
    model = context.start_model(trial)
    sets, texts = context.evaluation_sets(trial), context.texts(trial)
    before = context.metrics_before(model, trial.split, sets | texts)
    curves = {}
    if context.design.eval_every:
        curves = {language: context.evaluation_rows(language, "valid") for language in languages}
    result = finetune(
        model,
        context.task,
        trainable_of(model, METHODS[trial.method].recipe, circuit),
        train,
        curves,
        context.config(trial),
        Watch(stop=lambda: bool(stop())),
        context.kept_rows(trial),
    )
    if result.stopped:
        raise Stopped
    save(result, circuit)
    measured = {
        name: measure_set(result.model, context.task, one) for name, one in (sets | texts).items()
    }
    perplexity = {
        when: {name: of[name] for name in texts}
        for when, of in (("before", before), ("after", measured))
    }
    before, after = ({name: of[name] for name in sets} for of in (before, measured))
    at_share = measured_at_share(context, trial, result)
    outside = outside_of_change(context.loaded_values(trial), result.delta, result.model)
    shares = shares_of(context, trial, result) if trial.split == "test" else None
    last = result.history[-1]
    course = [{key: row[key] for key in ("step", "loss", "metrics")} for row in result.history]
    return {
        "before": before,
        "after": after,
        **metric_changes(before, after, context.source, trial.target),
        "loss": last["loss"],
        "steps": last["steps"],
        "epoch": last["epoch"],
        "trainable": result.trainable,
        "changed": result.changed,
        "total": result.total,
        "heads": sorted(circuit.heads) if circuit else None,
        "course": course if curves else [],
        "outside": outside,
        "shares": shares,
        "perplexity": perplexity if texts else None,
        "at_share": at_share,
        "train": rows_hash(train),
        "seconds": round(time.monotonic() - began, 3),
    }


def measured_at_share(context: TrialContext, trial: Trial, result: TuneResult) -> dict | None:
    """{"share", "after": {language: metrics}} with the design's share of a trial's change, for a
    trial of the result. The model is the tuned one before and afterwards.
    """
    share = context.design.tested_share
    if share is None or trial.split != "test":
        return None
    delta = copied(result.delta)
    model = context.start_model(trial)
    delta.scaled(share).write(model)
    after = {
        language: evaluate(model, context.task, context.evaluation_rows(language, trial.split))
        for language in context.languages(trial)
    }
    context.start_model(trial)
    delta.write(model)
    return {"share": share, "after": after}


def copied(delta: Delta) -> Delta:
    """A delta with values of its own: those of a result are the model's until they are copied."""
    return Delta(delta.about, {name: value.clone() for name, value in delta.tensors.items()})


def shares_of(context: TrialContext, trial: Trial, result: TuneResult) -> dict | None:
    """The shares of a trial's change (`measure_shares`), if the design has them. The model is the
    tuned one before and afterwards.
    """
    rows = share_rows(context.task, context.languages(trial)) if context.design.share else {}
    if not rows:
        return None
    delta = copied(result.delta)
    return measure_shares(context.start_model(trial), delta, context.task, rows)


def request_of_trial(context: TrialContext, trial: Trial, experiment: str) -> FinetuneRequest:
    """A trial as a run of its own: the same command gives the same numbers."""
    tuning = context.tuning(trial)
    if context.design.eval_every:
        final = trial.split if trial.split != "valid" else None
        tuning = replace(tuning, eval_split="valid", final_split=final)
    return FinetuneRequest(
        name=f"{context.design.name}: {trial.description}",
        subject=context.subject,
        scoring=Scoring(seed=trial.seed),
        tuning=tuning,
        config=context.config(trial),
        trial_of=TrialOf(run=experiment, trial=trial),
    )


def record_trial(
    context: TrialContext, trial: Trial, experiment: str, stop: Callable[[], object]
) -> dict:
    """`run_trial` with its own run folder, which Compare shows like any other tuning run."""
    run_id = trial_run_id(experiment, trial)
    request = request_of_trial(context, trial, experiment)
    interrupted = Run(runs.run_folder(run_id))
    if interrupted.path.exists():
        runs.delete(interrupted)  # it is run again from the start
    try:
        with runs.record(request, run_id) as run:
            run.add_facts(
                version=ctsft.__version__,
                torch=torch.__version__,
                model_fingerprint=context.fresh(context.subject.model).fingerprint,
                source=context.source,
            )

            def save(result: TuneResult, circuit: Circuit | None):
                if circuit:
                    circuit.save(run.file("circuit.json"))
                if context.design.keep_deltas:
                    result.delta.save(run.file("delta.safetensors"))

            row = run_trial(context, trial, stop, save)
            finish_trial(run, context, request, row)
    except (Stopped, KeyboardInterrupt):
        # it is run again when the experiment is resumed
        runs.delete(Run(runs.run_folder(run_id)))
        raise
    return row


def finish_trial(run: Writer, context: TrialContext, request: FinetuneRequest, row: dict):
    """Store a trial's evaluations and summary in its run folder, as a tuning run does."""
    tuning, trial = request.tuning, request.trial_of.trial
    split = trial.split
    history = [
        evaluation_row(row, "before", {"step": 0, "epoch": 0.0, "loss": None}),
        evaluation_row(
            row, "after", {"step": row["steps"], "epoch": row["epoch"], "loss": row["loss"]}
        ),
    ]
    for evaluation in history:
        run.event(kind="evaluation", **evaluation)
    finish(
        run,
        {
            "model": context.model.name,
            "task": context.task.name,
            "source": context.source,
            "target": tuning.target,
            "what": tuning.what,
            "heads": len(row["heads"]) if row["heads"] else None,
            "n": tuning.n,
            "stopped": False,
            "trainable": row["trainable"],
            "changed": row["changed"],
            "rows": {name: metrics["rows"] for name, metrics in row["after"].items()},
            "total": row["total"],
            "outside": row["outside"],
            "shares": row["shares"],
            "history": history,
            "answered": answered(split, rows_of(context.evaluation_sets(trial))),
            "perplexity": perplexity_ends(history),
            "config": request.config.model_dump(),
            "cell": row,
        },
    )


def evaluation_row(row: dict, when: str, at: dict) -> dict:
    """One evaluation of a trial ("before" or "after"), in the form of a tuning run's history."""
    texts = {"perplexity": row["perplexity"][when]} if row["perplexity"] else {}
    return at | {
        "steps": row["steps"],
        "accuracy": {name: metrics["accuracy"] for name, metrics in row[when].items()},
        "metrics": row[when],
        **texts,
        "seconds": 0.0 if when == "before" else row["seconds"],
    }


def trial_run_id(experiment: str, trial: Trial) -> str:
    return f"{experiment}-{trial.key}"


def finished(experiment: str, trial: Trial) -> dict | None:
    """The result of a trial that was run to its end; None for any other."""
    run = Run(runs.run_folder(trial_run_id(experiment, trial)))
    if run.status().state != "done":
        return None
    return result(run).get("cell")
