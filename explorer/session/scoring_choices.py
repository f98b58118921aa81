"""The ways heads can be scored, and the finished scorings that can be compared."""

from dataclasses import replace

from ctsft import runs
from ctsft.attribution.methods import VARIANTS
from ctsft.attribution.scores import Scores
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


def comparable(own: runs.Run, scores: Scores) -> list[runs.Run]:
    """Other finished scorings of models of the same shape in the same way, newest first: one a
    subject.
    """

    def way(run):
        scoring = needed_request(run).scoring
        return scoring.method, scoring.attention, scoring.positions, scoring.rules

    found: dict[str, runs.Run] = {}
    for run, _ in typed_runs("score"):
        result = (
            results.result(run)
            if run.id != own.id and run.status().state == "done" and way(run) == way(own)
            else None
        )
        if (
            result
            and (result["n_layers"], result["n_heads"]) == tuple(scores.values.shape)
            and run.file("scores.safetensors").is_file()
        ):
            found.setdefault(named(run), run)
    return [run for name, run in found.items() if name != named(own)]


def named(run: runs.Run) -> str:
    """What a scoring is of: "english rows, demo, 50 examples"."""
    request = needed_request(run)
    subject, scoring = request.subject, request.scoring
    model = subject.model.rstrip("/").split("/")[-1]
    return (
        f"{subject.language or 'source'} ({subject.split}), {model}, {scoring.size} examples,"
        f" seed {scoring.seed}"
    )


def titles(first: runs.Run, second: runs.Run) -> tuple[str, str]:
    """What tells two scorings apart, shortly: the language, else the model, else which is which."""
    for key in ("language", "model"):
        found = [
            str(getattr(needed_request(run).subject, key) or "source").rstrip("/").split("/")[-1]
            for run in (first, second)
        ]
        if found[0] != found[1]:
            return found[0], found[1]
    return "first", "second"
