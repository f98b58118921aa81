"""The jobs that measure: a circuit's faithfulness, and the validation of all rankings."""

from dataclasses import asdict

from ctsft.attribution.means import Means
from ctsft.circuit import validation, validation_report
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.faithfulness import faithfulness, faithfulness_curve
from ctsft.circuit.selection import select
from ctsft.circuit.template_effects import compare_templates
from ctsft.jobs.reporter import Reporter, Stopped, begin, finish
from ctsft.jobs.requests import FaithfulnessRequest, ValidateRequest
from ctsft.jobs.results import read_scores, scores_file
from ctsft.runs.writer import Writer
from ctsft.utils.atomic_files import write_text

# shares of the heads at which a curve is measured by default
SHARES = (0.02, 0.04, 0.08, 0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 0.85)


def measure_faithfulness(run: Writer, request: FaithfulnessRequest) -> dict:
    """One circuit's faithfulness, or the curve of a ranking against random circuits, one event a
    point.
    """
    reporter = Reporter(run)
    reporter.stage("loading the model")
    scores = read_scores(request.scores)
    means = Means.load(scores_file(request.scores).with_name("means.safetensors"))
    model, task, language = request.subject.open()
    rows = task.load(language, request.subject.split)
    begin(run, model, language, {"rows": rows})
    summary = {
        "model": model.name,
        "task": task.name,
        "language": language,
        "split": request.subject.split,
        "rows": len(rows),
    }
    if request.circuit:
        circuit = Circuit.load(request.circuit)
        report = faithfulness(model, task, circuit, rows, means)
        measured = {"accuracy": report.accuracy, "margin": report.margin, "raw": report.raw}
        return finish(run, summary | {"heads": len(circuit)} | measured)
    select(scores, "none").check(model)
    n_heads = len(model.heads)
    sizes = sorted({min(size, n_heads) for size in request.sizes}) or default_sizes(n_heads)
    report = reporter.stage("faithfulness curve")
    total = sum(1 + request.n_random * (0 < size < n_heads) for size in sizes)
    points = []
    for point in faithfulness_curve(model, task, scores, rows, means, sizes, request.n_random):
        points.append(point)
        run.event(**point)  # its kind is "ranked" or "random"
        report(len(points), total)
    return finish(run, summary | {"points": points})


def default_sizes(n_heads: int) -> list[int]:
    """None, all, and about ten in between, closer at the small end."""
    return sorted({0, n_heads, *(max(1, round(n_heads * share)) for share in SHARES)})


def validate(run: Writer, request: ValidateRequest) -> dict:
    """How well each ranking predicts removal, one event a row of the report, after what the maps
    depend on where there are templates; a run that is stopped saves what is done.
    """
    reporter, report = Reporter(run), None
    reporter.stage("loading the model")
    model, task, language = request.subject.open()
    source = task.pools(task.load(language, request.subject.split))[0]
    rows = task.load(language, request.rows_split)
    begin(run, model, language, {"source": source, "rows": rows})
    summary = {
        "model": model.name,
        "task": task.name,
        "language": language,
        "split": request.rows_split,
        "checks": asdict(request.checks),
        "stopped": False,
    }
    if request.templates.templates:
        effects = compare_templates(
            model, task, request.templates, request.subject.split, reporter.stage
        )
        summary["templates"] = validation.without_nan(effects.as_json())
        run.event(kind="validation", part="templates", **summary["templates"])
        if request.only_templates:
            return finish(run, summary)
    reporter.stage("choosing the discovery set")
    try:
        for row, report in validation.validate(
            model, task, source, rows, request.checks, reporter.stage
        ):
            done = save_report(run, summary | report.as_json())
            run.event(kind="validation", **validation.without_nan(row))
    except Stopped:
        if report is None:
            raise
        done = save_report(run, summary | report.as_json() | {"stopped": True})
    return done


def save_report(run: Writer, summary: dict) -> dict:
    """result.json, and validation.csv with a row a ranking."""
    write_text(run.file("validation.csv"), validation_report.csv(summary), "the table of rankings")
    return finish(run, summary)
