"""The job that measures circuits and fits a surrogate of faithfulness to them."""

from ctsft.attribution.means import Means
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scores import Head, Scores
from ctsft.cache.hashing import tensors_hash
from ctsft.circuit.held_out_sets import FEWEST
from ctsft.circuit.selection import select
from ctsft.circuit.set_meter import SetMeter
from ctsft.circuit.surrogate import FaithfulnessSurrogate
from ctsft.data.task import balanced_sample
from ctsft.jobs.reporter import Reporter, Stopped, begin, finish
from ctsft.jobs.requests import SurrogateRequest
from ctsft.jobs.results import read_scores, scores_file
from ctsft.runs.writer import Writer

FILE = "surrogate.safetensors"
# rankings beside the request's own, near which circuits are measured: cheap ones
ESTIMATES = {"atp": {}, "ig": {"steps": 9}}


def fit_surrogate(run: Writer, request: SurrogateRequest) -> dict:
    """surrogate.safetensors. A run that is stopped is fitted to the circuits measured so far."""
    reporter = Reporter(run)
    reporter.stage("loading the model")
    scores = read_scores(request.scores)
    means = Means.load(scores_file(request.scores).with_name("means.safetensors"))
    model, task, language = request.subject.open()
    select(scores, "none").check(model)
    means.check(model)
    rows = task.load(language, request.subject.split)
    rows = balanced_sample(
        rows, min(request.rows or len(rows), len(rows)), task.labels, request.seed
    )
    begin(run, model, language, {"rows": rows})
    rankings = [complete_ranking(scores)]
    for method, settings in ESTIMATES.items():
        report = reporter.stage(f"ranking heads: {method}")
        estimate = score_heads(model, task, rows, means, method, report, **settings)
        rankings.append(complete_ranking(estimate))
    report, sets, stopped = reporter.stage("measuring circuits"), None, False
    meter = SetMeter(model, task, rows, means, request.cache)
    try:
        for sets in meter.measure(rankings, request.circuits, request.seed):
            report(len(sets.masks), request.circuits)
    except Stopped:
        if sets is None or len(sets.masks) < FEWEST:
            raise
        stopped = True
    reporter.stage("fitting")
    about = {"model": model.name, "task": task.name, "language": language, "rows": len(rows)}
    surrogate = FaithfulnessSurrogate.fit(sets, about)
    surrogate.save(run.file(FILE))
    return finish(
        run,
        about
        | {
            "split": request.subject.split,
            "circuits": len(sets.masks),
            "held_out": {name: surrogate.quality(name) for name in surrogate.measures},
            "means": tensors_hash({"": means.values}),
            "stopped": stopped,
        },
    )


def complete_ranking(scores: Scores) -> list[Head]:
    """Heads from the highest to the lowest score; those without a score last."""
    ranking = scores.ranking()
    layers, heads = scores.values.shape
    unscored = {(layer, head) for layer in range(layers) for head in range(heads)} - {*ranking}
    return [*ranking, *sorted(unscored)]
