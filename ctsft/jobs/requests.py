"""What a job is asked: the model, the rows, how heads are scored, what is tuned."""

from dataclasses import dataclass

from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import ScoreConfig
from ctsft.data.registry import load_task
from ctsft.data.task import Task
from ctsft.model.loading import load_model
from ctsft.model.model import Model
from ctsft.model.model_files import BUNDLED_MODELS
from ctsft.tuning.recipes import RECIPES
from ctsft.utils.errors import UserError


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

    def open(self) -> tuple[Model, Task, str]:
        task = load_task(self.task, self.data_dir)
        language = self.language or task.source
        # an unknown language is refused before the model is loaded
        task.splits(language)
        return load_model(self.model, self.device, self.dtype), task, language


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
    k: int | None = None  # how many heads an adaptive pass is to find
    steps: int = 5  # of integrated gradients

    def __post_init__(self):  # refused before a model is loaded
        if self.method not in METHODS:
            raise UserError(
                f"{self.method!r} is not a scoring method; choose from {', '.join(METHODS)}."
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
            "k",
            "steps",
        )
        return {name: getattr(self, name) for name in names}


CONTROLS = ("near_zero", "least", "random")
WHAT = tuple(RECIPES)
POOLS = ("all", "B")


@dataclass(frozen=True)
class Tuning:
    """What moves, on which rows, measured on which."""

    target: str
    what: str = "circuit"
    # a circuit file, for circuit, edited and lora_circuit; otherwise `k` heads are chosen from
    # scores
    circuit: str | None = None
    # a run id or a scores file; without one the heads are scored first
    scores: str | None = None
    k: int = 6
    n: int = 50  # target rows; 0: all
    eval_split: str = "test"
    save_model: bool = False
    related: tuple[str, ...] = ()  # further languages that are measured
    # measured once more before and after, where curves are of another split
    final_split: str | None = None
    # which of the target's train rows: all, or pool B (discovery saw none of their ids)
    pool: str = "all"
    base: str | None = None  # for "direct": the model before the competence stage
    # for "advised": an advice run or its advice.csv; without one the run asks first
    advice: str | None = None


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
