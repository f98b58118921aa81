"""The job that advises heads: what the target asks of each head, and what the source would lose."""

from dataclasses import replace
from pathlib import Path

from ctsft.circuit.advice_ranking import ROW_FIELDS, Ranking
from ctsft.data.registry import load_task
from ctsft.data.task import Example, Task, balanced_sample
from ctsft.jobs.reporter import Reporter, begin, finish
from ctsft.jobs.requests import AdviseRequest, Subject, Tuning
from ctsft.jobs.tuning_rows import training_rows
from ctsft.model.model import Model
from ctsft.runs import results
from ctsft.runs.run_list import get
from ctsft.runs.writer import Writer
from ctsft.tuning.head_advice import Advice, advise_heads
from ctsft.utils.atomic_files import write_text
from ctsft.utils.errors import UserError
from ctsft.utils.json_files import read_regular

# of an advice run's result
RESULT_FIELDS = ("model", "model_type", "n_layers", "n_heads", *ROW_FIELDS)


# source rows, of pool A, that Fisher information is taken on
ADVICE_ROWS = 100


def read_advice(name: str) -> Ranking:
    """Advice of a finished run, by its id, or of an advice.csv by its path."""
    run = None if name.endswith(".csv") else get(name)
    path = Path(name) if run is None else run.file("advice.csv")
    try:
        text = read_regular(path).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"There is no advice at {path}; name a finished `python -m ctsft advise` (see `python"
            " -m ctsft runs`) or an advice.csv."
        ) from None
    result = run and results.result(run) or {}
    return Ranking.parse(
        text, str(path), {name: result[name] for name in RESULT_FIELDS if name in result}
    )


def advice_rows(task: Task, rows: list[Example]) -> list[Example]:
    """The source rows whose loss advice would spare: of pool A, always the same."""
    pool = task.pools(rows)[0]
    return balanced_sample(pool, min(ADVICE_ROWS, len(pool)), task.labels)


def take_advice(
    run: Writer, subject: Subject, train: list[Example], damping: float = 1.0
) -> tuple[Advice, Model]:
    """advice.csv: what each head is worth to the target rows against source rows. UserError for
    test rows.
    """
    if subject.split == "test":
        raise UserError(
            "Advice is never computed on test rows, which are reserved for the final figure; choose"
            " the train or the valid split."
        )
    reporter = Reporter(run)
    reporter.stage("loading the model")
    model, task, source = subject.open()
    advice = advise_heads(
        model,
        task,
        train,
        advice_rows(task, task.load(source, subject.split)),
        damping,
        progress=reporter.stage("Fisher information"),
    )
    write_text(run.file("advice.csv"), advice.ranking().csv(), "the advice")
    return advice, model


def advise(run: Writer, request: AdviseRequest) -> dict:
    """advice.csv, circuit.json. The target rows are those that a tuning run with this n and seed
    trains on.
    """
    subject = request.subject
    task = load_task(subject.task, subject.data_dir)
    source = subject.language or task.source
    tuning = Tuning(target=request.target, n=request.n, pool=request.pool)
    train = training_rows(task, source, subject.split, tuning, request.seed)
    advice, model = take_advice(run, replace(subject, language=source), train, request.damping)
    begin(run, model, source, {"train": train})
    ranking = advice.ranking()
    ranking.circuit(request.k).save(run.file("circuit.json"))
    summary = {
        "model": model.name,
        "model_type": model.model_type,
        "task": task.name,
        "source": source,
        "target": request.target,
        "n": len(train),
        "seed": request.seed,
        "pool": request.pool,
        "damping": advice.damping,
        "k": request.k,
        "source_rows": advice.about["source_rows"],
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "heads": list(ranking.rows),
    }
    return finish(run, summary)
