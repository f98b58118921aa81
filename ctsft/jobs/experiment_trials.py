"""The methods, settings and trials of an experiment.

A method is a recipe, or a recipe with a way of keeping the source. A trial is one tuning run:
setting, method, target, n, seed.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctsft.tuning.recipes import RECIPES

STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
DEFAULT_RATE = 5e-5


@dataclass(frozen=True)
class Method:
    """What a method trains (a recipe), and how it keeps the source."""

    recipe: str
    held: bool = False
    replayed: bool = False


METHODS = {name: Method(name) for name, recipe in RECIPES.items() if not recipe.from_file} | {
    "full_held": Method("full", held=True),
    "circuit_held": Method("circuit", held=True),
    "near_zero_held": Method("near_zero", held=True),
    "replay": Method("full", replayed=True),
}


class Setting(BaseModel):
    """How a trial is tuned: one learning rate for all methods, one for each method, or several to
    choose from on validation rows.
    """

    model_config = STRICT
    name: str = "paper"
    epochs: float = Field(5, gt=0)
    learning_rate: float = Field(
        DEFAULT_RATE, gt=0, description="for every method that `by_method` does not name"
    )
    by_method: dict[str, float] = {}
    learning_rates: list[float] = Field([], description="the grid that is chosen from")
    choose: Literal["", "valid"] = ""
    batch_size: int = Field(16, gt=0)
    weight_decay: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _one_way(self):
        if bool(self.learning_rates) != bool(self.choose):
            raise ValueError(
                'a grid of learning_rates needs "choose": "valid", and "choose" needs a grid'
            )
        if any(rate <= 0 for rate in (*self.learning_rates, *self.by_method.values())):
            raise ValueError("a learning rate has to be above 0")
        return self


class Trial(BaseModel):
    """One tuning run of an experiment. split: the rows it is measured on, "test", or "valid" for
    trials that a learning rate is chosen by.
    """

    model_config = STRICT
    setting: str
    method: str
    target: str
    n: int
    seed: int
    learning_rate: float
    split: Literal["valid", "test"] = "test"

    @property
    def key(self) -> str:
        """8 hex digits, different for all trials of a design."""
        return hashlib.blake2b(
            json.dumps(self.model_dump(), sort_keys=True).encode(), digest_size=4
        ).hexdigest()

    @property
    def description(self) -> str:
        return (
            f"{self.method} {self.target} n={self.n} seed {self.seed}, {self.setting}, lr"
            f" {self.learning_rate:g}"
        )
