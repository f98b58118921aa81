"""The fine-tuning job: from a request to a tuned model, its delta and its curves. It resumes where
it was interrupted.
"""

from dataclasses import replace
from pathlib import Path

from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.data.registry import load_task
from ctsft.data.task import Example
from ctsft.jobs.advice import read_advice, take_advice
from ctsft.jobs.measured_change import (
    CHANGED,
    checkpoint_of,
    measure_ends,
    measure_shares,
    outside_of_change,
    share_rows,
)
from ctsft.jobs.related_abilities import related_rows, texts_of
from ctsft.jobs.reporter import Reporter, begin, finish
from ctsft.jobs.request_parts import base_model
from ctsft.jobs.requests import FinetuneRequest, Subject
from ctsft.jobs.results import read_scores, save_scores
from ctsft.jobs.scoring import open_discovery
from ctsft.jobs.tuning_rows import answered, rows_of, source_rows, tuning_rows
from ctsft.model.device import choose_device
from ctsft.model.evaluation import metric_changes
from ctsft.runs.folder import Run
from ctsft.runs.results import perplexity_ends
from ctsft.runs.writer import Writer
from ctsft.tuning.checkpoints import newest_checkpoint
from ctsft.tuning.evaluation_sets import EvaluationSet, check_sets
from ctsft.tuning.finetune import NotFinite, TuneResult, Watch, finetune
from ctsft.tuning.recipes import RECIPES, find_recipe, trainable_of
from ctsft.utils import atomic_files, distributed
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError


def tune(run: Writer, request: FinetuneRequest) -> dict:
    """delta.safetensors, result.json, one event an evaluation; resumes from the run folder's newest
    checkpoint. UserError for rows, heads or settings that cannot be used.
    """
    tuning, config = request.tuning, request.config
    chosen = find_recipe(tuning.what)
    if chosen.from_file and not tuning.circuit:
        raise UserError(
            f"{tuning.what!r} trains the heads of a circuit file; name it with --circuit."
        )
    subject = request.subject
    if chosen.from_base:
        subject = replace(subject, model=base_model(subject, tuning))
    device = choose_device("cpu" if subject.device == "map" else subject.device)
    # the folder of the process that writes the run
    first = Run(Path(distributed.broadcast(str(run.path), device)))
    checkpoints = first.file("checkpoints")
    resume = distributed.broadcast(begun(first), device)
    task = load_task(subject.task, subject.data_dir)
    source = subject.language or task.source
    # refused before anything is scored
    train, language_sets = tuning_rows(task, source, subject.split, tuning, config.seed)
    texts = texts_of(task, tuning, language_sets[source])
    related_sets = related_rows(tuning, tuning.eval_split)
    needs_source = config.needs_source or chosen.from_source
    keeping = source_rows(task, source, subject.split) if needs_source else None
    final_sets = {}
    if tuning.final_split not in (None, tuning.eval_split):
        final_sets = {name: task.load(name, tuning.final_split) for name in language_sets}
        final_sets |= related_rows(tuning, tuning.final_split)
    circuit = None
    if chosen.needs_heads:
        has_circuit = distributed.broadcast(stored_circuit(first) is not None, device)
        on_subject = request.model_copy(update={"subject": subject})
        circuit = circuit_of(run, on_subject, train, first if has_circuit else None)
    reporter = Reporter(run, stoppable=False)
    reporter.stage("loading the model")
    model, task, source = subject.open()
    begin(run, model, source, {"train": train, **language_sets})
    check_sets(model, related_sets | texts)
    if circuit is not None:
        circuit.check(model).save(run.file("circuit.json"))
    trainable = trainable_of(model, tuning.what, circuit, config.norms, config.extra)
    checkpoints.mkdir(exist_ok=True)
    prepared = config.needs_fisher or trainable.mask
    stage = reporter.later if prepared else reporter.stage
    preparing = "choosing what is trained" if trainable.mask else "Fisher information"
    watch = Watch(
        # one of several processes that stops alone would leave the others waiting
        preparing=Reporter(run, distributed.is_single_process()).later(preparing),
        event=lambda row: run.event(kind="evaluation", **row),
        progress=stage("tuning"),
        stop=lambda: bool(run.stop_requested()),
        folder=checkpoints,
        resume=resume,
        resumed=lambda step, history: run.event(kind="resumed", step=step, history=history),
        restored=lambda step, history: run.event(kind="restored", step=step, history=history),
    )
    curve_sets = language_sets | related_sets
    summary = {
        "model": model.name,
        "task": task.name,
        "source": source,
        "target": tuning.target,
        "what": tuning.what,
        "heads": None if circuit is None else len(circuit),
        "n": len(train),
        "rows": {name: len(rows) for name, rows in rows_of(curve_sets).items()},
        "config": config.model_dump(),
        "answered": answered(tuning.eval_split, rows_of(curve_sets)),
    }
    try:
        sets = curve_sets | texts
        result = finetune(model, task, trainable, train, sets, config, watch, keeping)
    except NotFinite as error:
        # the model is back at its last good state
        save_result(run, summary, error.result)
        raise
    if tuning.save_model:
        with atomic_path(run.file("model"), "the tuned model") as part:
            result.model.hf.save_pretrained(part)
            result.model.tokenizer.save_pretrained(part)
    saved = save_result(run, summary, result)
    if distributed.RANK == 0:
        languages = list(language_sets)
        measured = measured_change(reporter, request, subject, result, languages, final_sets)
        saved = finish(run, summary | outcome(result) | measured)
    if not result.stopped:
        atomic_files.remove(checkpoints)  # nothing is left to resume
    return saved


def measured_change(
    reporter: Reporter,
    request: FinetuneRequest,
    subject: Subject,
    result: TuneResult,
    languages: list[str],
    final_sets: dict[str, EvaluationSet],
) -> dict:
    """{"final": accuracies on `final_sets` before and after, where there are any, "outside": what
    `outside_of_change` verified, "shares": of `measure_shares`}; each None where it could not be
    measured. Shares are of finished runs only.

    All of it is measured after the run, so that its curve begins at once.
    """
    progress = reporter.stage("comparing with the checkpoint")
    try:
        loaded, task, source = subject.open()
    except UserError:
        checkpoint = None
    else:
        checkpoint = checkpoint_of(loaded, result.delta)
    if checkpoint is None:
        return {"outside": None, "shares": None, "notes": [*result.notes, CHANGED]}
    values = dict(checkpoint.hf.named_parameters())
    outside = outside_of_change(values, result.delta, result.model)
    progress(1, 1)
    measured = {"outside": outside, "shares": None}
    if final_sets:
        split, progress = request.tuning.final_split, reporter.stage("final figures")
        ends = measure_ends(loaded, result.model, task, final_sets, progress)
        changes = metric_changes(*ends.values(), source, request.tuning.target)
        measured |= {
            "final": {"split": split} | ends | changes,
            "answered": answered(split, rows_of(final_sets)),
        }
    rows = {} if result.stopped or not request.tuning.shares else share_rows(task, languages)
    if not rows:
        return measured
    progress = reporter.stage("shares of the change")
    return measured | {"shares": measure_shares(checkpoint, result.delta, task, rows, progress)}


def save_result(run: Writer, summary: dict, result: TuneResult) -> dict:
    """The delta, and the summary with what the run came to."""
    result.delta.save(run.file("delta.safetensors"))
    return finish(run, summary | outcome(result))


def outcome(result: TuneResult) -> dict:
    """What a run came to, as its summary says it."""
    return {
        "trainable": result.trainable,
        "changed": result.changed,
        "total": result.total,
        "stopped": result.stopped,
        "history": result.history,
        "notes": result.notes,
        "perplexity": perplexity_ends(result.history),
    }


def stored_circuit(run: Run) -> Circuit | None:
    """The circuit that a run stored; None where there is none yet, or where it is damaged: the
    same rule chooses the same heads again.
    """
    try:
        return Circuit.load(run.file("circuit.json"))
    except UserError:
        return None


def begun(run: Run) -> bool:
    """Whether there is something to resume."""
    return any(row.get("kind") == "evaluation" for row in run.events()) or bool(
        newest_checkpoint(run.file("checkpoints"))
    )


def circuit_of(
    run: Writer, request: FinetuneRequest, train: list[Example], resumed: Run | None
) -> Circuit:
    """The heads to train: from a file, or by rule from scores, which are computed where none are
    named. resumed: the run whose circuit.json holds them already (a resumed run trains the same
    heads).
    """
    tuning, scoring = request.tuning, request.scoring
    rule = RECIPES[tuning.what].rule
    if tuning.circuit and rule in ("top", None):
        return Circuit.load(tuning.circuit)
    if resumed:
        return Circuit.load(resumed.file("circuit.json"))
    if rule == "advised":
        if tuning.advice:
            return read_advice(tuning.advice).circuit(tuning.k)
        return take_advice(run, request.subject, train)[0].circuit(tuning.k)
    if tuning.scores:
        scores = read_scores(tuning.scores)
    else:
        scores = open_discovery(run, request.subject, scoring).score("scoring heads")
        save_scores(run, scores, "scores")
    draw = {"seed": scoring.seed} if rule == "random" else {}
    return select(scores, rule, k=tuning.k, **draw)
