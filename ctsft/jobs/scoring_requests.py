"""Requests of jobs that score heads, find circuits, and check both."""

from typing import ClassVar, Literal

from pydantic import (
    Field,
)

from ctsft.circuit.checks import Checks, TemplateChecks
from ctsft.circuit.held_out_sets import FEWEST
from ctsft.jobs.request_base import JobRequest, SubjectRequest
from ctsft.jobs.request_parts import Scoring, Subject


class ScoreRequest(SubjectRequest):
    """Score every head; `preview`: attribution patching first; `by_position`: then `heads` at
    single positions (none named: the first ones); `roles`: then the role of each head.
    """

    ASIDE: ClassVar[frozenset[str]] = JobRequest.ASIDE | {
        "preview",
        "by_position",
        "heads",
        "roles",
        "cache",
    }
    kind: Literal["score"] = "score"
    scoring: Scoring = Scoring()
    preview: bool = False
    by_position: bool = False
    heads: tuple[str, ...] = ()  # as in "L2.H1"
    roles: bool = False
    cache: bool = True


class DiscoverRequest(SubjectRequest):
    """Find a circuit by the paper's iterations (CT-SFT, arXiv 2601.08146)."""

    ASIDE: ClassVar[frozenset[str]] = JobRequest.ASIDE | {"cache"}
    kind: Literal["discover"] = "discover"
    scoring: Scoring = Scoring()
    depth: int = 1
    fraction: float = 0.02
    cache: bool = True


class FaithfulnessRequest(SubjectRequest):
    """Measure a circuit file, or a ranking's heads at several sizes against random circuits.
    `subject.split` names the rows that are measured.
    """

    kind: Literal["faithfulness"] = "faithfulness"
    subject: Subject = Subject(split="valid")
    scores: str
    circuit: str | None = None
    sizes: tuple[int, ...] = ()
    n_random: int = 10


class SurrogateRequest(SubjectRequest):
    """Measure many circuits, and fit what predicts the faithfulness of any other one.
    `subject.split` names the rows that are measured.
    """

    ASIDE: ClassVar[frozenset[str]] = JobRequest.ASIDE | {"cache"}
    kind: Literal["surrogate"] = "surrogate"
    subject: Subject = Subject(split="valid")
    scores: str  # whose means replace heads, and near whose ranking circuits are measured
    circuits: int = Field(300, ge=FEWEST)
    rows: int = Field(100, ge=0)  # at most; 0: all
    seed: int = Field(0, ge=0)
    cache: bool = True


class ValidateRequest(SubjectRequest):
    """Check the rankings against mean ablation, random circuits and other discovery sets; with
    templates, also what the maps depend on, or nothing else. `templates_file`: where they were
    read from.
    """

    ASIDE: ClassVar[frozenset[str]] = JobRequest.ASIDE | {"templates_file"}
    kind: Literal["validate"] = "validate"
    checks: Checks = Checks()
    rows_split: str = "valid"
    templates: TemplateChecks = TemplateChecks()
    templates_file: str | None = None
    only_templates: bool = False  # rankings are not checked


class AdviseRequest(SubjectRequest):
    """Rank heads by what the target asks of them and what the source would lose."""

    kind: Literal["advise"] = "advise"
    target: str
    k: int = 6
    n: int = 50
    pool: str = "all"
    damping: float = 1.0
    seed: int = 31
