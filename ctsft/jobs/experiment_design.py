"""The design of an experiment: what is compared on what, as a JSON file that is checked when it is
read, and the trials that follow from it.

    {"name": "nusax", "task": "nusax", "targets": ["javanese"],
     "methods": ["circuit", "near_zero", "full"], "n": [25, 100], "seeds": [31, 777],
     "settings": [{"name": "gentle", "epochs": 5, "learning_rates": [3e-4, 1e-3],
                   "choose": "valid"}]}

A method is a recipe, or a recipe with a way of keeping the source (`METHODS`): "full_held" is
"full" with the design's `hold`, "replay" is "full" with its `replay`.

A trial is one tuning run: setting, method, target, n, seed. Where a setting has several learning
rates, grid trials are run first and measured on validation rows only. For each method the rate with
the best mean target accuracy is chosen; the source breaks ties. Target rows come from pool B:
discovery and advice, on pool A of the source, have not seen their ids (translations share them).
"""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from ctsft.jobs.experiment_trials import METHODS, STRICT, Setting, Trial
from ctsft.utils.errors import UserError, cut, quoted
from ctsft.utils.json_files import parse_json, problem, read_regular, reason_of

MOST_TRIALS = 100_000

# what a trial takes beside its steps, in steps: mostly evaluation
MEASURING = 12.0


class Design(BaseModel):
    """What an experiment file may contain; the defaults are the paper's (CT-SFT, arXiv
    2601.08146).
    """

    model_config = STRICT
    name: str = "experiment"
    model: str = "demo"
    base: str | None = Field(
        None, description='for the method "direct": the model before the competence stage'
    )
    task: str = "demo"
    source: str | None = None
    targets: list[str] = Field(min_length=1)
    related: list[str] = []
    methods: list[str] = Field(["circuit", "near_zero", "random", "full"], min_length=1)
    n: list[int] = Field([25, 50, 75, 100], min_length=1)
    seeds: list[int] = Field([31, 777, 2025, 12345], min_length=1)
    k: int = Field(6, ge=0, description="heads of each method that picks heads")
    settings: list[Setting] = Field([Setting()], min_length=1)
    choose_n: list[int] = Field([], description="n of the grid's trials; default: the largest")
    choose_seeds: list[int] = Field([], description="their seeds; default: the first")
    choose_targets: list[str] = Field([], description="their targets; default: all")
    pool: Literal["all", "B"] = Field("B", description="target train rows that are drawn from")
    discovery: dict = Field(
        {}, description="size, seed, method, attention, rules of the scoring pass"
    )
    rows: int | None = Field(
        None, gt=0, description="at most that many rows of an evaluation set; default: all"
    )
    eval_every: int = Field(
        0,
        ge=0,
        description="steps between evaluations on validation rows while a trial is tuned; 0: none",
    )
    hold: float = Field(9.0, gt=0, description="strength of the methods that hold the source")
    replay: int | None = Field(
        None,
        gt=0,
        description='source rows of the method "replay"; default: as many as target rows',
    )
    share: bool = Field(
        False, description="eleven shares of each trial's change are measured on validation rows"
    )
    tested_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="each trial is measured with this share of its change too: a row of its own",
    )
    related_tasks: list[str] = []  # further task files or names, with :LANGUAGE where needed
    perplexity: bool = False  # of the source rows' texts, or of the file `text`
    text: str | None = None
    keep_deltas: bool = False
    device: str = "auto"
    dtype: str = "auto"

    @field_validator(
        "targets",
        "related",
        "related_tasks",
        "methods",
        "n",
        "seeds",
        "choose_n",
        "choose_seeds",
        "choose_targets",
    )
    @classmethod
    def _once(cls, values):
        if len(set(values)) < len(values):
            raise ValueError(f"each may appear once, and one of {quoted(values)} appears twice")
        return values

    @model_validator(mode="after")
    def _known(self):
        named = [*self.methods, *(name for setting in self.settings for name in setting.by_method)]
        unknown = [name for name in named if name not in METHODS]
        if unknown:
            raise ValueError(
                f"{quoted(unknown[0])} is not a method; choose from {', '.join(METHODS)}"
            )
        if len({setting.name for setting in self.settings}) < len(self.settings):
            raise ValueError("two settings have the same name")
        if self.text is not None and not self.perplexity:
            raise ValueError('"text" is what a perplexity is of; add "perplexity": true')
        if any(n < 1 for n in (*self.n, *self.choose_n)) or any(
            seed < 0 for seed in (*self.seeds, *self.choose_seeds)
        ):
            raise ValueError("n has to be at least 1, and a seed at least 0")
        if self.n_trials > MOST_TRIALS:
            raise ValueError(
                f"it has {self.n_trials:,} trials; an experiment may have {MOST_TRIALS:,}"
            )
        return self

    def setting(self, name: str) -> Setting:
        return next(setting for setting in self.settings if setting.name == name)

    def grid(self) -> list[Trial]:
        """The trials that learning rates are chosen by, all on validation rows."""
        many = (
            self.choose_targets or self.targets,
            self.choose_n or [max(self.n)],
            self.choose_seeds or self.seeds[:1],
        )
        return [
            Trial(
                setting=setting.name,
                method=method,
                target=target,
                n=n,
                seed=seed,
                learning_rate=rate,
                split="valid",
            )
            for setting in self.settings
            for method, rate in itertools.product(self.methods, setting.learning_rates)
            for target, n, seed in itertools.product(*many)
        ]

    def trials(self, chosen: Mapping[tuple[str, str], float]) -> list[Trial]:
        """The trials of the result, seed by seed; `chosen` is {(setting, method): learning rate}
        where there is a grid.
        """

        def rate(setting: Setting, method: str) -> float:
            return chosen.get((setting.name, method)) or setting.by_method.get(
                method, setting.learning_rate
            )

        return [
            Trial(
                setting=setting.name,
                method=method,
                target=target,
                n=n,
                seed=seed,
                learning_rate=rate(setting, method),
            )
            for seed, setting, target, n, method in itertools.product(
                self.seeds, self.settings, self.targets, self.n, self.methods
            )
        ]

    def cost(self, trial: Trial) -> float:
        """About what a trial takes, in steps of tuning."""
        setting = self.setting(trial.setting)
        return MEASURING + setting.epochs * -(-trial.n // setting.batch_size)

    @property
    def n_trials(self) -> int:
        """How many trials there are in all."""
        rates = sum(len(setting.learning_rates) for setting in self.settings)
        grid = (self.choose_targets or self.targets, self.choose_n or [0], self.choose_seeds or [0])
        trials = (self.settings, self.targets, self.n, self.seeds)
        return len(self.methods) * (rates * math.prod(map(len, grid)) + math.prod(map(len, trials)))


def read_design(path: str | Path) -> Design:
    """The design in a file. UserError when the file does not exist or is not a design."""
    name = quoted(str(path), 200)
    try:
        content = parse_json(read_regular(Path(path)))
    except FileNotFoundError:
        raise UserError(
            f"The experiment file {name} does not exist; check the path (examples/nusax.json is"
            " one to start from)."
        ) from None
    except OSError as error:
        raise UserError(
            f"The experiment file {name} cannot be read ({reason_of(error)}); check the path."
        ) from None
    except ValueError as error:
        raise UserError(
            f"The experiment file {name} is not valid JSON ({cut(error)}); correct it."
        ) from None
    return validated(content, f"The experiment file {name}")


def validated(content: object, what: str = "The design") -> Design:
    """A design from JSON content. UserError that says which field cannot be used, and why; `what`
    names the design there.
    """
    try:
        return Design.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{what} cannot be used: {problem(error)}; correct it.") from None
