"""The figures of a run folder, each with what it is computed from.

Every number of result.json, and of the rows of events.jsonl, is a claim. A rule (`run_rules`) says
how it is computed again. A number without a rule was measured by the model and nothing stored gives
it: not recomputable, unless `deep_claims` runs the model again.
"""

from ctsft.jobs.requests import FinetuneRequest, ScoreRequest
from ctsft.receipts.claims import Claim, fail
from ctsft.receipts.evidence import Evidence, NotRecomputable
from ctsft.receipts.file_claims import (
    answered_claims,
    circuit_claims,
    event_claims,
    fact_claims,
    score_claims,
)
from ctsft.receipts.run_rules import RULES, common_rule, is_figure, leaves, no_rules
from ctsft.runs.damage import damage

MEASURED = "measured by the model, and no answers that it is made of are stored"


def run_claims(evidence: Evidence, run_id: str) -> list[Claim]:
    """All claims of a run folder."""
    run = evidence.run(run_id)
    claims = [Claim(f"{run_id}: readable", "", lambda: damage(run.run), structural=True)]
    try:
        request = run.request
    except NotRecomputable as error:
        return [*claims, Claim(f"{run_id}: request", "", fail(ValueError(error)), True)]
    claims += list(fact_claims(run))
    try:
        done = run.result
    except NotRecomputable:
        done = {}
    rules = dict(RULES.get(request.kind, no_rules)(run, done))
    for path, value in leaves(done):
        if path.startswith("answered/") or not is_figure(value):
            continue
        recompute = (
            rules.pop(path, None) or common_rule(run, path) or fail(NotRecomputable(MEASURED))
        )
        claims.append(Claim(f"{run_id}/result.json#/{path}", value, recompute))
    claims += list(event_claims(run))
    if isinstance(request, FinetuneRequest):
        claims += list(answered_claims(run, done))
        claims += list(circuit_claims(evidence, run))
    if isinstance(request, ScoreRequest):
        claims += list(score_claims(run))
    return claims
