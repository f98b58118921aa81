"""Figures that only the model gives: it is loaded and asked again.

Of a tuning run: the answers before tuning, and those after it where its delta is stored; the
model's fingerprint and size. Of a scoring run: the scores of each example.
"""

from collections.abc import Iterator
from dataclasses import asdict

import torch

from ctsft.attribution.means import Means
from ctsft.attribution.score_heads import score_heads
from ctsft.jobs.requests import FinetuneRequest, ScoreRequest
from ctsft.model.evaluation import evaluate
from ctsft.model.loading import load_model
from ctsft.receipts.claims import Claim, Value
from ctsft.receipts.evidence import Evidence, NotRecomputable, StoredRun
from ctsft.receipts.run_rows import pool_rows
from ctsft.receipts.run_rules import leaves
from ctsft.runs.answers import ends
from ctsft.tuning.delta import apply_delta
from ctsft.utils.errors import UserError

SCORE_TOLERANCE = 1e-4  # of the largest score: other processors round otherwise
FACTS = ("accuracy", "macro_f1", "right", "rows")


def deep_claims(evidence: Evidence, run_ids: list[str]) -> Iterator[Claim]:
    """The claims of all runs that a model on this machine can check, one answer set a model."""
    before: dict[tuple, dict] = {}
    for run_id in run_ids:
        run = evidence.run(run_id)
        try:
            request = run.request
        except NotRecomputable:
            continue
        if not isinstance(request, FinetuneRequest | ScoreRequest):
            continue
        yield Claim(
            f"{run_id}/request.json#/facts/model_fingerprint",
            request.facts.model_fingerprint,
            lambda request=request: evidence.model(model_name(request)).fingerprint,
        )
        if isinstance(request, FinetuneRequest):
            yield from answer_claims(evidence, run, before)
        else:
            yield from score_claims(evidence, run)


def model_name(request: FinetuneRequest | ScoreRequest) -> str:
    return request.facts.model or request.subject.model


def answer_claims(evidence: Evidence, run: StoredRun, known: dict) -> Iterator[Claim]:
    """Metrics before and after tuning, from the model's answers."""
    try:
        done = run.result
    except NotRecomputable:
        return
    name, split = model_name(run.request), (done.get("answered") or {}).get("split")
    total = done.get("total")
    if total is not None:
        yield Claim(
            f"{run.id}/result.json#/total",
            total,
            lambda: sum(p.numel() for p in evidence.model(name).hf.parameters()),
        )
    for when, end in zip(("before", "after"), ends(done), strict=True):
        for language, of in end.items():
            if split is None or not measured_by_task(run, language):
                continue

            def again(language=language, when=when) -> dict:
                key = (name, language, split, run.id if when == "after" else "")
                if key not in known:
                    rows = run.rows(language, split)
                    model = evidence.model(name) if when == "before" else tuned(run, name)
                    known[key] = evaluate(model, run.task, rows)
                return known[key]

            for path, value in leaves(of):
                if path.partition("/")[0] in (*FACTS, "recall"):
                    yield Claim(
                        f"{run.id}: {when} tuning, {language}, {path} (the model again)",
                        value,
                        lambda path=path, again=again: value_at(again(), path),
                    )


def measured_by_task(run: StoredRun, language: str) -> bool:
    """Whether the rows are the task's own, and here."""
    try:
        return language in run.task.languages
    except NotRecomputable:
        return False


def tuned(run: StoredRun, name: str):
    """A model of its own: a delta is written into it."""
    if not run.run.file("delta.safetensors").is_file():
        raise NotRecomputable("needs the run's delta.safetensors (bundle with --deltas)")
    try:
        model = load_model(name, device="cpu")
        return apply_delta(model, run.run.file("delta.safetensors"))
    except UserError as error:
        raise NotRecomputable(str(error)) from None


def value_at(values: dict, path: str) -> Value:
    value: object = values
    for name in path.split("/"):
        value = value[name]
    return value


def score_claims(evidence: Evidence, run: StoredRun) -> Iterator[Claim]:
    """The scores of each example, from the stored means and discovery set."""
    if not all(
        run.run.file(name).is_file() for name in ("scores.safetensors", "means.safetensors")
    ):
        return
    scores = run.scores
    computed: list[torch.Tensor] = []

    def again() -> torch.Tensor:
        if not computed:
            model = evidence.model(model_name(run.request))
            means = Means.load(run.run.file("means.safetensors"))
            settings = asdict(scores.config) | {"max_memory": None}
            scored = score_heads(model, run.task, pool_rows(run), means, scores.method, **settings)
            computed.append(scored.per_example)
        return computed[0]

    tolerance = SCORE_TOLERANCE * scores.per_example.abs().nan_to_num().max().item()
    for layer, head in scores.ranking():
        yield Claim(
            f"{run.id}: scores of L{layer}.H{head} on each example (the model again)",
            scores.per_example[:, layer, head].tolist(),
            lambda layer=layer, head=head: again()[:, layer, head].tolist(),
            equal=lambda one, other: close(one, other, tolerance),
        )


def close(one: Value, other: Value, tolerance: float) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= tolerance or (a != a and b != b) for a, b in zip(one, other, strict=True)
    )
