"""The jobs that measure: a circuit's faithfulness, and the validation of all ways of ranking heads."""

from dataclasses import asdict

from ctsft.attribution.means import Means
from ctsft.circuit import validation
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.faithfulness import faithfulness, faithfulness_curve
from ctsft.circuit.selection import select
from ctsft.circuit.validation import Checks
from ctsft.jobs.reporter import Reporter, Stopped, begin, finish
from ctsft.jobs.requests import Subject
from ctsft.jobs.results import read_scores, scores_file
from ctsft.runs.recorder import Writer


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
