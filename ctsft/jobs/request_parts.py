"""What every kind of request names: the model, task and rows of a job, and how a pool is scored."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import (
    TypeAdapter,
    ValidationError,
)

from ctsft.attribution.method_names import NAMES
from ctsft.attribution.score_config import ScoreConfig
from ctsft.data.registry import load_task
from ctsft.data.task import Task
from ctsft.jobs.experiment_design import Design
from ctsft.model.model_files import BUNDLED_MODELS
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.json_files import problem

if TYPE_CHECKING:
    from ctsft.model.model import Model

CONTROLS = ("near_zero", "least", "random")
POOLS = ("all", "B")


@dataclass(frozen=True)
class Subject:
    """What a job works on: a model, a task, and the rows a circuit is found with."""

    model: str = "demo"
    task: str = "demo"
    data_dir: str | None = None
    language: str | None = None  # default: the task's source
    split: str = "train"
    device: str = "auto"
    dtype: str = "auto"

    def open(self) -> "tuple[Model, Task, str]":
        """The model, the task and the language; notes on them are printed on stderr. UserError for
        what cannot be opened.
        """
        from ctsft.jobs.reporter import tell_notes  # torch, which requests do not need
        from ctsft.model.loading import load_model

        task = load_task(self.task, self.data_dir)
        language = self.language or task.source
        # an unknown language is refused before the model is loaded
        task.splits(language)
        model = load_model(self.model, self.device, self.dtype)
        tell_notes(model, task)
        return model, task, language


@dataclass(frozen=True)
class Scoring:
    """Which pool is scored, and how."""

    size: int = 50
    seed: int = 0
    method: str = "cdt"
    attention: str = "softmax"
    score: str = "signed"
    positions: str = "all"
    batch_tokens: int | None = None
    max_memory: str | None = None  # bytes, or words such as "4GB"
    rules: str = "paper"
    normalise: str = "none"
    adaptive: bool = False
    k: int | None = None  # how many heads an adaptive or certified pass is to find
    steps: int = 5  # of integrated gradients
    certified: bool = False  # the top k of mean ablation with a stated confidence
    objective: str = "match"  # of a learned ranking: match or strength
    passes: int = 100  # forward passes that a learned ranking may cost

    def __post_init__(self):  # refused before a model is loaded
        if self.method not in NAMES:
            raise UserError(
                f"{self.method!r} is not a scoring method; choose from {', '.join(NAMES)}."
            )
        ScoreConfig(**self.config)

    @property
    def config(self) -> dict:
        names = (
            "attention",
            "score",
            "positions",
            "batch_tokens",
            "max_memory",
            "rules",
            "normalise",
            "adaptive",
            "certified",
            "k",
            "steps",
            "objective",
            "passes",
        )
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What is trained, on which rows, and what is measured."""

    target: str
    what: str = "circuit"  # a name of RECIPES
    # a circuit file, for circuit, edited and lora_circuit; otherwise `k` heads are selected from
    # scores
    circuit: str | None = None
    scores: str | None = None  # a run id or a scores file; None: the heads are scored first
    k: int = 6
    n: int = 50  # target rows; 0: all
    eval_split: str = "valid"  # of the curves
    save_model: bool = False
    related: tuple[str, ...] = ()  # further languages that are measured
    # measured before and after only, where the curves are measured on another split; None: no
    # other rows than those of the curves
    final_split: str | None = "test"
    # the target's train rows: all, or pool B (discovery saw none of their ids)
    pool: str = "all"
    base: str | None = None  # for "direct": the model before the competence stage
    advice: str | None = None  # for "advised": an advice run or its advice.csv; None: ask first
    shares: bool = True  # eleven shares of the change are measured on validation rows
    # task files or names that are measured too, each with ":LANGUAGE" or in its source language
    related_tasks: tuple[str, ...] = ()
    perplexity: bool = False  # of the source rows' texts, or of the lines of the file `text`
    text: str | None = None


def base_model(subject: Subject, tuning: Tuning) -> str:
    """The model without the competence stage; the bundled one's is bundled too."""
    base = tuning.base or (
        f"{subject.model}-base" if f"{subject.model}-base" in BUNDLED_MODELS else None
    )
    if not base:
        raise UserError(
            f"{tuning.what!r} tunes the model before its competence stage, and which one that is"
            f" for {subject.model!r} is not known; name it with --base."
        )
    return base


def discovery_scoring(design: Design) -> Scoring:
    """How an experiment's shared scores are computed. UserError for a setting that is unknown, or
    of another type.
    """
    unknown = set(design.discovery) - set(Scoring.__dataclass_fields__)
    if unknown:
        raise UserError(
            f"{quoted(min(unknown))} is not a setting of discovery; choose from"
            f" {', '.join(Scoring.__dataclass_fields__)}."
        )
    try:
        return TypeAdapter(Scoring).validate_json(json.dumps(design.discovery), strict=True)
    except ValidationError as error:
        raise UserError(f"The design's discovery cannot be used: {problem(error)}.") from None
