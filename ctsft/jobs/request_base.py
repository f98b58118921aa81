"""What the requests of all kinds of jobs have in common."""

from typing import ClassVar

from pydantic import (
    ConfigDict,
)

from ctsft.jobs.request_parts import Subject
from ctsft.runs.folder import Request


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
