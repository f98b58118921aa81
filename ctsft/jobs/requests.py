"""Requests of jobs: one typed request for each kind of job.

The page builds a request from its view, the shell parses its arguments into one, `request.json`
of a run folder is one, and the detached process runs one (`ctsft run RUN`). A run is found again
by comparing requests (`same_question`), and `command_line` writes one as a shell command.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ctsft.circuit.checks import Checks, TemplateChecks
from ctsft.jobs.request_base import JobRequest, SubjectRequest
from ctsft.jobs.request_parts import Scoring, Subject, Tuning
from ctsft.jobs.scoring_requests import (
    AdviseRequest,
    DiscoverRequest,
    FaithfulnessRequest,
    ScoreRequest,
    SurrogateRequest,
    ValidateRequest,
)
from ctsft.jobs.tuning_requests import (
    EXPORT_FORMS,
    ExperimentRequest,
    ExportForm,
    ExportRequest,
    FinetuneRequest,
    RescoreRequest,
    TrialOf,
    UndoRequest,
)
from ctsft.runs.explorations import LABEL, origin_of
from ctsft.runs.folder import UNREADABLE, Run, file_stamp, is_settled
from ctsft.runs.recorded_models import PREFIX
from ctsft.runs.run_list import list_read_only, list_runs
from ctsft.tuning.config import TuneConfig
from ctsft.utils.errors import UserError
from ctsft.utils.json_files import problem, read_regular, reason_of

# with the requests of both files, and the parts that requests are built from
__all__ = [
    "AdviseRequest",
    "AnyRequest",
    "Checks",
    "DiscoverRequest",
    "EXPORT_FORMS",
    "ExperimentRequest",
    "ExportForm",
    "ExportRequest",
    "FaithfulnessRequest",
    "FinetuneRequest",
    "JobRequest",
    "RescoreRequest",
    "ScoreRequest",
    "Scoring",
    "Subject",
    "SubjectRequest",
    "SurrogateRequest",
    "TemplateChecks",
    "TrialOf",
    "TuneConfig",
    "Tuning",
    "UndoRequest",
    "ValidateRequest",
    "from_json",
    "needed_request",
    "request_of",
    "request_problem",
    "same_question",
    "typed_runs",
]

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
