"""The fine-tuning job: from words to a tuned model, its delta and its curves in a run folder;
resumes where it was cut off.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ctsft.attribution.score_heads import score_heads
from ctsft.circuit.advice_ranking import ROWS_OF, Ranking
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.data.registry import load_task
from ctsft.data.task import Example, Task, sample
from ctsft.jobs import (
    Reporter,
    Scoring,
    Subject,
    begin,
    finish,
    pool_and_means,
    read_scores,
    save_scores,
)
from ctsft.model.evaluation import change, measure
from ctsft.model.loading import NAMES, choose_device
from ctsft.model.model import Model
from ctsft.runs import tuning_table
from ctsft.runs.folder import Run
from ctsft.runs.launcher import get
from ctsft.runs.recorder import Writer
from ctsft.tuning.checkpoints import newest_checkpoint
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.finetune import NotFinite, TuneResult, Watch, finetune
from ctsft.tuning.head_advice import Advice, advise_heads
from ctsft.tuning.recipes import RECIPES, moves_of, recipe
from ctsft.utils import atomic_files, distributed
from ctsft.utils.atomic_files import whole
from ctsft.utils.errors import UserError

CONTROLS = ("near_zero", "least", "random")


WHAT = tuple(RECIPES)


POOLS = ("all", "B")


# of an advice run's result
KEPT = ("model", "model_type", "n_layers", "n_heads", *ROWS_OF)


# source rows, of pool A, that Fisher information is taken on
ADVICE_ROWS = 100


@dataclass(frozen=True)
class Tuning:
    """What moves, on which rows, measured on which."""

    target: str
    what: str = "circuit"
    # a circuit file, for circuit, edited and lora_circuit; otherwise `k` heads are chosen from
    # scores
    circuit: str | None = None
    # a run id or a scores file; without one the heads are scored first
    scores: str | None = None
    k: int = 6
    n: int = 50  # target rows; 0: all
    eval_split: str = "test"
    save_model: bool = False
    related: tuple[str, ...] = ()  # further languages that are measured
    # measured once more before and after, where curves are of another split
    final_split: str | None = None
    # which of the target's train rows: all, or pool B (discovery saw none of their ids)
    pool: str = "all"
    base: str | None = None  # for "direct": the model before the competence stage
    # for "advised": an advice run or its advice.csv; without one the run asks first
    advice: str | None = None


def tune(
    run: Writer, subject: Subject, scoring: Scoring, tuning: Tuning, config: TuneConfig
) -> dict:
    """delta.safetensors, result.json, one event an evaluation; resumes from the run folder's newest
    checkpoint.
    """
    chosen = recipe(tuning.what)
    if chosen.file and not tuning.circuit:
        raise UserError(
            f"{tuning.what!r} moves the heads of a circuit file; name it with --circuit."
        )
    subject = replace(subject, model=base_model(subject, tuning)) if chosen.base else subject
    device = choose_device("cpu" if subject.device == "map" else subject.device)
    # the folder of the process that keeps the run
    first = Run(Path(distributed.told(str(run.path), device)))
    checkpoints, resume = first.file("checkpoints"), distributed.told(begun(first), device)
    task = load_task(subject.task, subject.data_dir)
    source = subject.language or task.source
    # refused before anything is scored
    train, sets = tuning_rows(task, source, subject.split, tuning, config.seed)
    last = (
        {name: task.load(name, tuning.final_split) for name in sets}
        if tuning.final_split not in (None, tuning.eval_split)
        else {}
    )
    found = distributed.told(first.file("circuit.json").is_file(), device)
    choice = (
        circuit_of(run, subject, scoring, tuning, train, first if found else None)
        if chosen.heads
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
    moves = moves_of(model, tuning.what, choice, config.norms, config.extra)
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
        with whole(run.file("delta.safetensors"), "the delta") as part:
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
            "before": {name: measure(model, task, rows) for name, rows in last.items()},
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
        final["after"] = {name: measure(model, task, rows) for name, rows in last.items()}
        final |= change(final["before"], final["after"], source, tuning.target)
        words["final"] = final
    if tuning.save_model:
        with whole(run.file("model"), "the tuned model") as part:
            model.hf.save_pretrained(part)
            model.tokenizer.save_pretrained(part)
    summary = keep(result)
    if not result.stopped:
        atomic_files.remove(checkpoints)  # nothing is left to resume
    return summary


def tuning_rows(
    task: Task, source: str, split: str, tuning: Tuning, seed: int
) -> tuple[list[Example], dict[str, list[Example]]]:
    """Rows to train on, and the sets that accuracy is measured on, the source first."""
    train = training_rows(task, source, split, tuning, seed)
    return train, {
        name: task.load(name, tuning.eval_split)
        for name in dict.fromkeys((source, tuning.target, *tuning.related))
    }


def training_rows(task: Task, source: str, split: str, tuning: Tuning, seed: int) -> list[Example]:
    """UserError for a pool that is none, or a number of rows that the split has not."""
    if tuning.pool not in POOLS:
        raise UserError(f"{tuning.pool!r} is not a pool of rows; choose from {', '.join(POOLS)}.")
    if tuning.n < 0:
        raise UserError(f"n is {tuning.n}; give how many labelled rows to tune on, or 0 for all.")
    rows = task.load(tuning.target, split)
    # competence tuning leaves pool B unseen
    pool = "A" if tuning.target == source else tuning.pool
    rows = rows if pool == "all" else task.pools(rows)["AB".index(pool)]
    return sample(rows, tuning.n, task.labels, seed) if tuning.n else rows


def base_model(subject: Subject, tuning: Tuning) -> str:
    """The model without the competence stage; the bundled one's is bundled too."""
    base = tuning.base or (f"{subject.model}-base" if f"{subject.model}-base" in NAMES else None)
    if not base:
        raise UserError(
            f"{tuning.what!r} tunes the model before its competence stage, and which one that is"
            f" for {subject.model!r} is not known; name it with --base."
        )
    return base


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


def read_advice(name: str) -> Ranking:
    """Advice of a finished run, by its id, or of an advice.csv by its path."""
    run = None if name.endswith(".csv") else get(name)
    path = Path(name) if run is None else run.file("advice.csv")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"There is no advice at {path}; name a finished `python -m ctsft advise` (see `python"
            " -m ctsft runs`) or an advice.csv."
        ) from None
    result = run and tuning_table.result(run) or {}
    return Ranking.parse(text, str(path), {name: result[name] for name in KEPT if name in result})


def advice_rows(task: Task, rows: list[Example]) -> list[Example]:
    """The source rows whose loss advice would spare: of pool A, always the same."""
    pool = task.pools(rows)[0]
    return sample(pool, min(ADVICE_ROWS, len(pool)), task.labels)


def take_advice(
    run: Writer, subject: Subject, tuning: Tuning, train: list[Example], damping: float = 1.0
) -> tuple[Advice, Model]:
    """advice.csv: what each head is worth to the target rows against source rows. UserError for
    test rows.
    """
    if subject.split == "test":
        raise UserError(
            "Advice is never taken on test rows, which are kept for the final figure; choose the"
            " train or the valid split."
        )
    reporter = Reporter(run)
    reporter.stage("loading the model")
    model, task, source = subject.open()
    found = advise_heads(
        model,
        task,
        train,
        advice_rows(task, task.load(source, subject.split)),
        damping,
        progress=reporter.stage("Fisher information"),
    )
    with whole(run.file("advice.csv"), "the advice") as part:
        part.write_text(found.kept().csv(), encoding="utf-8")
    return found, model


def advice(run: Writer, subject: Subject, tuning: Tuning, damping: float, seed: int) -> dict:
    """The advice job: advice.csv, circuit.json. The target rows are those that a tuning run with
    this n and seed trains on.
    """
    task = load_task(subject.task, subject.data_dir)
    subject = replace(subject, language=subject.language or task.source)
    train = training_rows(task, subject.language, subject.split, tuning, seed)
    found, model = take_advice(run, subject, tuning, train, damping)
    begin(run, subject, model, {"train": train}, tuning=asdict(tuning), damping=damping, seed=seed)
    kept = found.kept()
    kept.circuit(tuning.k).save(run.file("circuit.json"))
    return finish(
        run,
        {
            "model": model.name,
            "model_type": model.model_type,
            "task": task.name,
            "source": subject.language,
            "target": tuning.target,
            "n": len(train),
            "seed": seed,
            "pool": tuning.pool,
            "damping": found.damping,
            "k": tuning.k,
            "source_rows": found.about["source_rows"],
            "n_layers": model.n_layers,
            "n_heads": model.n_heads,
            "heads": list(kept.rows),
        },
    )
