"""What each long job does, from words to result files in its run folder. The shell and the explorer
start the same jobs.

A job gets its settings and a `runs.Writer`; it reports progress by stage, appends an event line for
each result that arrives, writes its result files and returns a summary, which also goes to
`result.json`.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm import tqdm
from transformers.utils import logging

import ctsft
from ctsft.attribution.means import Means, label_balanced_means
from ctsft.attribution.methods import METHODS
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scores import ScoreConfig, Scores
from ctsft.circuit import validation
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.discovery import iterations
from ctsft.circuit.faithfulness import faithfulness, faithfulness_curve
from ctsft.circuit.selection import select
from ctsft.circuit.validation import Checks
from ctsft.data.registry import load_task
from ctsft.data.task import Example, Task, fingerprint
from ctsft.model.loading import load_model
from ctsft.model.model import Model
from ctsft.runs.folder import write
from ctsft.runs.launcher import get
from ctsft.runs.recorder import Writer
from ctsft.utils.atomic_files import whole
from ctsft.utils.errors import UserError

logging.disable_progress_bar()  # a job reports its own stages


class Stopped(Exception):
    """The run was asked to stop before there was anything to keep."""


@dataclass(frozen=True)
class Subject:
    """What a job works on: a model, a task, and the rows a circuit is found with."""

    model: str = "demo"
    task: str = "demo"
    data_dir: str | None = None
    language: str | None = None  # default: the task's source
    split: str = "train"
    device: str = "auto"
    dtype: str = "auto"

    def open(self) -> tuple[Model, Task, str]:
        task = load_task(self.task, self.data_dir)
        language = self.language or task.source
        # an unknown language is refused before the model is loaded
        task.splits(language)
        return load_model(self.model, self.device, self.dtype), task, language


@dataclass(frozen=True)
class Scoring:
    """Which pool is scored, and how."""

    size: int = 50
    seed: int = 0
    method: str = "cdt"
    attention: str = "softmax"
    score: str = "signed"
    positions: str = "all"
    batch_tokens: int | None = None
    max_memory: str | None = None  # bytes, or words such as "4GB"
    rules: str = "paper"
    normalise: str = "none"
    adaptive: bool = False
    k: int | None = None  # how many heads an adaptive pass is to find
    steps: int = 5  # of integrated gradients

    def __post_init__(self):  # refused before a model is loaded
        if self.method not in METHODS:
            raise UserError(
                f"{self.method!r} is not a scoring method; choose from {', '.join(METHODS)}."
            )
        ScoreConfig(**self.config)

    @property
    def config(self) -> dict:
        names = (
            "attention",
            "score",
            "positions",
            "batch_tokens",
            "max_memory",
            "rules",
            "normalise",
            "adaptive",
            "k",
            "steps",
        )
        return {name: getattr(self, name) for name in names}


class Reporter:
    """Progress of one stage after another, to the run folder and to stderr; raises `Stopped` when a
    stop is asked for.
    """

    def __init__(self, run: Writer, stoppable: bool = True):
        self.run, self.stoppable = run, stoppable

    def stage(self, name: str) -> Callable[[float, float], None]:
        bar = tqdm(
            desc=name,
            total=1.0,
            file=sys.stderr,
            leave=True,
            mininterval=0.5,
            bar_format="{desc}: {percentage:3.0f}% {elapsed}<{remaining}",
            disable=not sys.stderr.isatty(),
        )
        if bar.disable:
            print(f"{name} ...", file=sys.stderr, flush=True)
        self.run.progress(0, 1, name)

        def report(done: float, total: float):
            self.run.progress(done, total, name)
            bar.update(done / total - bar.n)
            if done >= total:
                bar.close()
            if self.stoppable and self.run.stop_requested():
                bar.close()
                raise Stopped

        return report

    def tell(self, name: str, notes: list[str]):
        for note in notes:
            print(f"{name}: {note}", file=sys.stderr, flush=True)


def finish(run: Writer, summary: dict) -> dict:
    """Keep a job's summary beside its results."""
    # JSON has no NaN: what is undefined is null
    summary = json.loads(json.dumps(summary), parse_constant=lambda word: None)
    write(run.file("result.json"), summary)
    return {"run": run.id, **summary}


def begin(run: Writer, subject: Subject, model: Model, rows: dict[str, list[Example]], **seeds):
    """Everything that determines the result goes into the request."""
    run.add_params(
        subject=asdict(subject),
        code=ctsft.__version__,
        torch=torch.__version__,
        model_fingerprint=model.fingerprint,
        data_fingerprints={name: fingerprint(of) for name, of in rows.items()},
        **seeds,
    )


def pool_and_means(run: Writer, subject: Subject, scoring: Scoring, cache: bool = True):
    """Model, task, discovery set (from pool A) and label-balanced means, which are kept in the run
    folder.
    """
    reporter = Reporter(run)
    reporter.stage("loading the model")
    model, task, language = subject.open()
    rows = task.load(language, subject.split)
    reporter.stage("choosing the discovery set")
    pool = discovery_set(
        model,
        task,
        task.pools(rows)[0],
        scoring.size,
        scoring.seed,
        cache=cache,
        max_memory=scoring.max_memory,
    )
    begin(run, subject, model, {"pool": pool}, scoring=asdict(scoring))
    means = label_balanced_means(
        model,
        task,
        pool,
        scoring.positions,
        reporter.stage("label-balanced means"),
        cache,
        scoring.max_memory,
    )
    reporter.tell("label-balanced means", means.notes)
    means.save(run.file("means.safetensors"))
    texts = [{"id": row.id, "text": row.text, "label": row.label} for row in pool]
    run.file("pool.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    return model, task, language, pool, means, reporter


def score(
    run: Writer, subject: Subject, scoring: Scoring, preview: bool = False, cache: bool = True
) -> dict:
    """scores.safetensors, scores.csv, means.safetensors, pool.json; with `preview` attribution
    patching first (preview.safetensors).
    """
    model, task, language, pool, means, reporter = pool_and_means(run, subject, scoring, cache)
    if preview and scoring.method != "atp":
        first = score_heads(
            model,
            task,
            pool,
            means,
            "atp",
            reporter.stage("attribution patching (preview)"),
            cache=cache,
            positions=scoring.positions,
            max_memory=scoring.max_memory,
        )
        reporter.tell("attribution patching (preview)", first.notes)
        save_scores(run, first, "preview")
    stage = {"cdt": "CD-T", "atp": "attribution patching", "ablation": "mean ablation"}.get(
        scoring.method, scoring.method
    )
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
    save_scores(run, scores, "scores")
    top = [
        {
            "layer": layer,
            "head": head,
            "score": scores.values[layer, head].item(),
            "stderr": scores.stderr[layer, head].item(),
        }
        for layer, head in scores.ranking()
    ]
    return finish(
        run,
        {
            "model": model.name,
            "task": task.name,
            "language": language,
            "method": scores.method,
            "attention": scoring.attention,
            "n_layers": model.n_layers,
            "n_heads": model.n_heads,
            "examples": len(pool),
            "heads": top,
            "values": scores.values.tolist(),
            "notes": scores.notes,
        },
    )


def save_scores(run: Writer, scores: Scores, name: str):
    """Whole or not at all, so that a page never reads half a file."""
    for ending, save in (
        (".safetensors", scores.save),
        (".csv", lambda path: Path(path).write_text(scores.csv(), encoding="utf-8")),
    ):
        with whole(run.file(name + ending), name) as part:
            save(part)
    run.event(kind=name, method=scores.method)


def discover(
    run: Writer, subject: Subject, scoring: Scoring, depth: int, fraction: float, cache: bool = True
) -> dict:
    """circuit.json and the scores of each iteration."""
    model, task, language, pool, means, reporter = pool_and_means(run, subject, scoring, cache)
    circuit, notes = None, []
    report = reporter.stage("discovery")
    for circuit, scores in iterations(
        model,
        task,
        pool,
        means,
        depth,
        fraction,
        report,
        attention=scoring.attention,
        rules=scoring.rules,
        adaptive=scoring.adaptive,
        max_memory=scoring.max_memory,
        batch_tokens=scoring.batch_tokens,
        cache=cache,
    ):
        circuit.save(run.file("circuit.json"))
        reporter.tell(f"iteration {circuit.rule['depth']}", scores.notes)
        notes += [f"iteration {circuit.rule['depth']}: {note}" for note in scores.notes]
        save_scores(
            run,
            scores,
            "scores" if not scores.config.targets else f"scores-{circuit.rule['depth']}",
        )
    return finish(
        run,
        {
            "model": model.name,
            "task": task.name,
            "language": language,
            **circuit.rule,
            "heads": [
                {"layer": layer, "head": head, "why": circuit.why[layer, head]}
                for layer, head in sorted(circuit.heads)
            ],
            "notes": notes,
        },
    )


def measure_faithfulness(
    run: Writer,
    subject: Subject,
    scores_from: str,
    circuit_file: str | None,
    rows_split: str,
    sizes: list[int],
    n_random: int,
) -> dict:
    """One circuit's faithfulness, or the curve of a ranking against random circuits, one event a
    point.
    """
    reporter = Reporter(run)
    reporter.stage("loading the model")
    scores, means = (
        read_scores(scores_from),
        Means.load(scores_file(scores_from).with_name("means.safetensors")),
    )
    model, task, language = subject.open()
    rows = task.load(language, rows_split)
    begin(run, subject, model, {"rows": rows}, n_random=n_random)
    summary = {
        "model": model.name,
        "task": task.name,
        "language": language,
        "split": rows_split,
        "rows": len(rows),
    }
    if circuit_file:
        circuit = Circuit.load(circuit_file)
        report = faithfulness(model, task, circuit, rows, means)
        return finish(
            run,
            summary
            | {
                "heads": len(circuit),
                "accuracy": report.accuracy,
                "margin": report.margin,
                "raw": report.raw,
            },
        )
    select(scores, "none").check(model)
    sizes = sorted({min(size, len(model.heads)) for size in sizes}) or default_sizes(
        len(model.heads)
    )
    points, total, report = (
        [],
        sum(1 + n_random * (0 < size < len(model.heads)) for size in sizes),
        reporter.stage("faithfulness curve"),
    )
    for point in faithfulness_curve(model, task, scores, rows, means, sizes, n_random):
        points.append(point)
        run.event(**point)  # its kind is "ranked" or "random"
        report(len(points), total)
    return finish(run, summary | {"points": points})


def default_sizes(n_heads: int) -> list[int]:
    """None, all, and about ten in between, closer at the small end."""
    return sorted(
        {
            0,
            n_heads,
            *(
                max(1, round(n_heads * share))
                for share in (0.02, 0.04, 0.08, 0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 0.85)
            ),
        }
    )


def validate(run: Writer, subject: Subject, checks: Checks, rows_split: str) -> dict:
    """The report on how true the scores are, one event a row of it; what is done when it is stopped
    is kept.
    """
    reporter, report = Reporter(run), None
    reporter.stage("loading the model")
    model, task, language = subject.open()
    source, rows = (
        task.pools(task.load(language, subject.split))[0],
        task.load(language, rows_split),
    )
    begin(run, subject, model, {"source": source, "rows": rows}, checks=asdict(checks))
    summary = {
        "model": model.name,
        "task": task.name,
        "language": language,
        "split": rows_split,
        "checks": asdict(checks),
        "stopped": False,
    }
    reporter.stage("choosing the discovery set")
    try:
        for row, report in validation.validate(model, task, source, rows, checks, reporter.stage):
            done = finish(run, summary | report.words())
            run.event(kind="validation", **validation.plain(row))
    except Stopped:
        if report is None:
            raise
        done = finish(run, summary | report.words() | {"stopped": True})
    return done


def scores_file(name: str) -> Path:
    """A scores file by its path, or by the id of the run that made it."""
    return Path(name) if name.endswith(".safetensors") else get(name).file("scores.safetensors")


def read_scores(name: str) -> Scores:
    path = scores_file(name)
    if not path.is_file():
        raise UserError(
            f"There are no scores at {path}; name a finished scoring run (see `python -m ctsft"
            " runs`) or a scores.safetensors."
        )
    return Scores.load(path)
