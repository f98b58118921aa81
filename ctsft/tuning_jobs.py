"""The fine-tuning job: from words to a tuned model, its delta and its curves in a run folder; resumes where it was cut off."""
import shutil
from dataclasses import asdict, dataclass

from ctsft.circuit import Circuit, select
from ctsft.errors import UserError
from ctsft.jobs import Reporter, Scoring, Subject, begin, finish, pool_and_means, read_scores, save_scores
from ctsft.relevance import score_heads
from ctsft.runs import Writer
from ctsft.tasks import Example, Task, load_task, sample
from ctsft.tuning import TuneConfig, Watch, finetune, newest_checkpoint, save_delta

CONTROLS = ("near_zero", "least", "random")
WHAT = ("circuit", *CONTROLS, "norms", "full")


@dataclass(frozen=True)
class Tuning:
    """What moves, on which rows, measured on which."""
    target: str
    what: str = "circuit"
    circuit: str | None = None            # a circuit file; otherwise `k` heads are chosen from scores
    scores: str | None = None             # a run id or a scores file; without one the heads are scored first
    k: int = 6
    n: int = 50                           # target rows; 0: all
    eval_split: str = "test"
    save_model: bool = False


def tune(run: Writer, subject: Subject, scoring: Scoring, tuning: Tuning, config: TuneConfig) -> dict:
    """delta.safetensors, result.json, one event an evaluation; resumes from the run folder's newest checkpoint."""
    if tuning.what not in WHAT:
        raise UserError(f"{tuning.what!r} is not something that can move; choose from {', '.join(WHAT)}.")
    checkpoints = run.file("checkpoints")
    resuming = newest_checkpoint(checkpoints) is not None
    task = load_task(subject.task, subject.data_dir)
    source = subject.language or task.source
    train, sets = tuning_rows(task, source, subject.split, tuning, config.seed)      # refused before anything is scored
    choice = circuit_of(run, subject, scoring, tuning) if tuning.what not in ("norms", "full") else tuning.what
    reporter = Reporter(run, stoppable=False)
    reporter.stage("loading the model")
    model, task, source = subject.open()
    begin(run, subject, model, {"train": train, **sets}, tuning=asdict(tuning), config=config.model_dump())
    if isinstance(choice, Circuit):
        choice.check(model).save(run.file("circuit.json"))
    base, earlier = model.fingerprint, [row for row in run.events() if row.get("kind") == "evaluation"]
    if not resuming:
        checkpoints.mkdir(exist_ok=True)
    stop = run.stop_requested
    watch = Watch(event=lambda row: run.event(kind="evaluation", **row), progress=reporter.stage("tuning"), stop=lambda: bool(stop()),
                  folder=checkpoints, resume=resuming)
    result = finetune(model, task, choice, train, sets, config, watch)
    save_delta(model, choice, run.file("delta.safetensors"), base)
    if tuning.save_model:
        model.hf.save_pretrained(run.file("model"))
        model.tokenizer.save_pretrained(run.file("model"))
    history = continued(earlier if resuming else [], result.history)
    if not result.stopped:
        shutil.rmtree(checkpoints, ignore_errors=True)     # nothing is left to resume
    return finish(run, {"model": model.name, "task": task.name, "source": source, "target": tuning.target, "what": tuning.what,
                        "heads": len(choice) if isinstance(choice, Circuit) else None, "n": len(train), "trainable": result.trainable,
                        "total": result.total, "rows": {name: len(rows) for name, rows in sets.items()},
                        "stopped": result.stopped, "history": history, "config": config.model_dump()})


def tuning_rows(task: Task, source: str, split: str, tuning: Tuning, seed: int) -> tuple[list[Example], dict[str, list[Example]]]:
    """Rows to train on, and the sets that accuracy is measured on, the source first."""
    train = task.load(tuning.target, split)
    train = task.pools(train)[0] if tuning.target == source else train      # competence tuning leaves pool B unseen
    train = sample(train, tuning.n, task.labels, seed) if tuning.n else train
    return train, {name: task.load(name, tuning.eval_split) for name in dict.fromkeys((source, tuning.target))}


def continued(earlier: list[dict], later: list[dict]) -> list[dict]:
    """One history of a run that was resumed: what was measured again counts as measured last."""
    first = later[0]["step"] if later else float("inf")
    return [{key: value for key, value in row.items() if key not in ("kind", "time")} for row in earlier if row["step"] < first] + later


def circuit_of(run: Writer, subject: Subject, scoring: Scoring, tuning: Tuning) -> Circuit:
    """The heads that are to move: from a file, or by rule from scores, which are computed where none are named."""
    if tuning.circuit and tuning.what == "circuit":
        return Circuit.load(tuning.circuit)
    if run.file("circuit.json").is_file():                 # a resumed run moves what it moved before
        return Circuit.load(run.file("circuit.json"))
    if tuning.scores:
        scores = read_scores(tuning.scores)
    else:
        model, task, _, pool, means, reporter = pool_and_means(run, subject, scoring)
        scores = score_heads(model, task, pool, means, scoring.method, reporter.stage("scoring heads"), cache=True, **scoring.config)
        reporter.tell("scoring heads", scores.notes)
        save_scores(run, scores, "scores")
    rule = tuning.what if tuning.what in CONTROLS else "top"
    return select(scores, rule, k=tuning.k, **({"seed": scoring.seed} if rule == "random" else {}))
