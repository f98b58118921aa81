"""The ways heads can be scored, and the finished scorings that can be compared."""

from dataclasses import replace

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.attribution.variants import VARIANTS
from ctsft.jobs.requests import Scoring, needed_request, typed_runs
from ctsft.runs import results

# the variants that the page offers; the others differ in what the page has no control for
WAYS = [
    name for name, variant in VARIANTS.items() if set(variant.settings) <= {"attention", "rules"}
]


def scoring_fields(way: str) -> dict:
    """The fields of a `Scoring`, or of the view, that one of `WAYS` sets."""
    variant = VARIANTS[way]
    return {"method": variant.method, "attention": "softmax", "rules": "paper", **variant.settings}


def way_of(scoring: Scoring) -> str:
    """Which of `WAYS` a scoring is; attention and rules matter for CD-T alone."""
    if scoring.method != "cdt":
        return scoring.method
    fields = {"method": "cdt", "attention": scoring.attention, "rules": scoring.rules}
    return next((way for way in WAYS if scoring_fields(way) == fields), "cdt")


def other_way(scoring: Scoring, way: str) -> Scoring:
    """The same pool and positions, scored in another way."""
    return replace(scoring, **scoring_fields(way))


def comparable(run: runs.Run, scores: Scores) -> list[runs.Run]:
    """Other finished scorings in the same way, of models of the same shape, newest first: one for
    each description.
    """
    shape = tuple(scores.values.shape)
    newest: dict[str, runs.Run] = {}
    for other, _ in typed_runs("score"):
        if other.id == run.id or other.status().state != "done":
            continue
        if settings(other) != settings(run):
            continue
        result = results.result(other)
        if not result or (result["n_layers"], result["n_heads"]) != shape:
            continue
        if other.file("scores.safetensors").is_file():
            newest.setdefault(description(other), other)
    return [other for text, other in newest.items() if text != description(run)]


def settings(run: runs.Run) -> tuple:
    """The settings that have to agree for two scorings to be compared."""
    scoring = needed_request(run).scoring
    return scoring.method, scoring.attention, scoring.positions, scoring.rules


def description(run: runs.Run) -> str:
    """The rows and the model of a scoring: "english rows, demo, 50 examples"."""
    request = needed_request(run)
    subject, scoring = request.subject, request.scoring
    model = subject.model.rstrip("/").split("/")[-1]
    return (
        f"{subject.language or 'source'} ({subject.split}), {model}, {scoring.size} examples,"
        f" seed {scoring.seed}"
    )


def short_titles(first: runs.Run, second: runs.Run) -> tuple[str, str]:
    """Short titles that differ: the languages, else the models, else "first" and "second"."""
    for key in ("language", "model"):
        one, other = short_title(first, key), short_title(second, key)
        if one != other:
            return one, other
    return "first", "second"


def short_title(run: runs.Run, key: str) -> str:
    value = getattr(needed_request(run).subject, key) or "source"
    return str(value).rstrip("/").split("/")[-1]
