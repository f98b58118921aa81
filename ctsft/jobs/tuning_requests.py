"""Requests of jobs that tune a model, and of those that work on a tuned one."""

from typing import ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

from ctsft.jobs.experiment_design import Design, Trial
from ctsft.jobs.request_base import JobRequest, SubjectRequest
from ctsft.jobs.request_parts import Scoring, Tuning
from ctsft.tuning.config import TuneConfig


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
