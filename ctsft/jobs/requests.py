"""Requests of jobs: one typed request for each kind of job.

The page builds a request from its view, the shell parses its arguments into one, `request.json`
of a run folder is one, and the detached process runs one (`ctsft run RUN`). A run is found again
by comparing requests (`same_question`), and `command_line` writes one as a shell command.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from ctsft.circuit.checks import Checks, TemplateChecks
from ctsft.circuit.surrogate import FEWEST
from ctsft.jobs.experiment_design import Design, Trial
from ctsft.jobs.request_parts import Scoring, Subject, Tuning
from ctsft.runs.explorations import LABEL, origin_of
from ctsft.runs.folder import UNREADABLE, Request, Run, file_stamp, is_settled
from ctsft.runs.recorded_models import PREFIX
from ctsft.runs.run_list import list_read_only, list_runs
from ctsft.tuning.config import TuneConfig
from ctsft.utils.errors import UserError
from ctsft.utils.json_files import problem, read_regular, reason_of


class JobRequest(Request):
    """The base of all kinds. `ASIDE` names the fields that change no number of the result. NaN and
    infinity are no settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    ASIDE: ClassVar[frozenset[str]] = frozenset({"name", "cwd", "created", "facts"})

    @property
    def device(self) -> str:
        """The device whose turn the job waits for."""
        return "auto"


class SubjectRequest(JobRequest):
    """A job that opens a model and a task."""

    subject: Subject = Subject()

    @property
    def device(self) -> str:
        return self.subject.device


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


class TrialOf(BaseModel):
    """Which trial of which experiment a tuning run is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    run: str
    trial: Trial


class FinetuneRequest(SubjectRequest):
    """Tune a circuit or a control on a target language."""

    kind: Literal["finetune"] = "finetune"
    scoring: Scoring = Scoring()
    tuning: Tuning
    config: TuneConfig = TuneConfig()
    trial_of: TrialOf | None = None

    @property
    def competence(self) -> bool:
        """Whether it tunes on the source language itself."""
        return self.tuning.target == (self.subject.language or self.facts.source)


class RescoreRequest(JobRequest):
    """Score the heads of a tuned model on the examples they were scored on before."""

    ASIDE: ClassVar[frozenset[str]] = JobRequest.ASIDE | {"cache"}
    kind: Literal["rescore"] = "rescore"
    tuned: str  # id of a tuning run
    scoring: Scoring = Scoring()
    k: int = 6
    cache: bool = True


class ExperimentRequest(JobRequest):
    """Run every trial of a design. `file`: where the design was read from."""

    ASIDE: ClassVar[frozenset[str]] = JobRequest.ASIDE | {"file", "jobs"}
    kind: Literal["experiment"] = "experiment"
    design: Design
    file: str
    data_dir: str | None = None
    jobs: int = 1

    @property
    def device(self) -> str:
        return self.design.device


# a merged model, a LoRA adapter, or a file of the run; of a scoring run: its scores for MIB
ExportForm = Literal["model", "peft", "delta", "circuit", "importances"]
EXPORT_FORMS: tuple[str, ...] = get_args(ExportForm)


class ExportRequest(JobRequest):
    """Write a tuned model as a Hugging Face folder, or the scores of heads for MIB."""

    kind: Literal["export"] = "export"
    tuned: str  # id of a tuning run; for importances: of a scoring run
    to: str
    share: float = 1.0  # of the change
    format: ExportForm = "model"


class UndoRequest(JobRequest):
    """Give heads of a tuned model their old weights back: the named ones, or those that regain the
    source most cheaply.
    """

    kind: Literal["undo"] = "undo"
    tuned: str  # id of a tuning run
    heads: tuple[str, ...] = ()  # as in "L2.H1"; none: the cheapest ones are looked for
    most: int = Field(0, ge=0)  # heads of a path; 0: all that were trained
    step: int = Field(1, ge=1)  # heads that are undone between two measurements of a path
    # what the chosen point may cost: a share of the target's gain, and of what was trained
    most_lost: float = Field(0.2, ge=0)
    most_undone: float = Field(0.25, ge=0)
    seed: int = Field(31, ge=0)  # of the random order
    final_split: str | None = "test"


AnyRequest = (
    ScoreRequest
    | DiscoverRequest
    | FaithfulnessRequest
    | SurrogateRequest
    | ValidateRequest
    | AdviseRequest
    | FinetuneRequest
    | RescoreRequest
    | ExperimentRequest
    | ExportRequest
    | UndoRequest
)
_ANY = TypeAdapter(Annotated[AnyRequest, Field(discriminator="kind")])


def request_of(run: Run) -> AnyRequest | None:
    """The typed request of a run; None for one of an earlier version, or where the file is torn."""
    path = run.file("request.json")
    stamped = file_stamp(path)
    return _read(path, stamped) if is_settled(stamped) else _read.__wrapped__(path, stamped)


@lru_cache(maxsize=20_000)
def _read(path: Path, stamped: tuple) -> AnyRequest | None:
    try:
        return from_json(read_regular(path))
    except (OSError, ValueError):
        return None


def request_problem(run: Run) -> str:
    """Why the request of a run cannot be read, in a few words; "" where it can."""
    try:
        from_json(read_regular(run.file("request.json")))
    except ValidationError as error:
        return f"request.json: {problem(error)}"
    except (OSError, ValueError) as error:
        return f"request.json: {reason_of(error)}"
    return ""


def from_json(text: str | bytes) -> AnyRequest:
    """The request that `model_dump_json` wrote. ValueError (pydantic's ValidationError) for text
    that is not one.
    """
    return _ANY.validate_json(text)


def needed_request(run: Run) -> AnyRequest:
    """`request_of`; UserError where it cannot be read."""
    request = request_of(run)
    if request is None:
        why = run.note or f"{UNREADABLE} ({request_problem(run)})"
        raise UserError(
            f"Run {run.id!r} was {why}, so it cannot be continued or evaluated; start it again, or"
            " delete it with `python -m ctsft runs delete`."
        )
    return request


def typed_runs(kind: str) -> Iterator[tuple[Run, AnyRequest]]:
    """The runs of a kind with their requests, newest first, without those of earlier versions; then
    those of opened explorations, and those that were recorded of a model whose weights are not
    here (`recorded_models`).
    """
    for run in [*list_runs(kind), *list_read_only(kind, recorded=False)]:
        request = request_of(run)
        if request is not None:
            yield run, request
    for run in list_read_only(kind):
        request = request_of(run) if origin_of(run) == LABEL else None
        if isinstance(request, SubjectRequest) and request.subject.model.startswith(PREFIX):
            yield run, request


def same_question(one: JobRequest, other: JobRequest) -> bool:
    """Whether two requests ask for the same result. No language means the task's source language,
    which a run knows once it has begun.
    """
    if type(one) is not type(other):
        return False
    fields = [request.model_dump(exclude=set(request.ASIDE)) for request in (one, other)]
    if isinstance(one, SubjectRequest):
        languages = [question["subject"].pop("language") for question in fields]
        sources = {one.facts.source, other.facts.source}
        if languages[0] != languages[1] and not {*languages, None} - {None} <= sources:
            return False
        if None not in languages and languages[0] != languages[1]:
            return False
    return fields[0] == fields[1]
