"""The settings of a scoring pass. Requests and pages read them without torch."""

from dataclasses import dataclass

from ctsft.utils.errors import UserError
from ctsft.utils.format import Head
from ctsft.utils.units import parse_bytes

POSITIONS = ("all", "readout")
CHOICES = {
    "attention": ("softmax", "frozen"),
    "rules": ("paper", "symmetric"),
    "score": ("signed", "magnitude"),
    "positions": (None, *POSITIONS),
    "normalise": ("none", "layer"),
    "objective": ("match", "strength"),
}
MOST_STEPS = 1000
MOST_PASSES = 100_000


@dataclass(frozen=True)
class ScoreConfig:
    """Settings of a scoring pass; the defaults are those of the papers."""

    # "softmax" decomposes the attention pattern, "frozen" does not (cdt only)
    attention: str = "softmax"
    # "symmetric" shares cross terms evenly (cdt only; see `cdt_rules`)
    rules: str = "paper"
    # "magnitude": |rel|_1 / |irrel|_1 over the label logits (cdt only)
    score: str = "signed"
    # where a head is split: "all" or "readout"; None: where the means were taken
    positions: str | None = None
    # later heads instead of the logits (cdt only)
    targets: tuple[Head, ...] = ()
    # "layer": scores in units of the layer's mean absolute score
    normalise: str = "none"
    # points on the path (ig only)
    steps: int = 5
    # what a learned ranking is learned for: circuits that do what the model does, or as much of
    # the task as they can (learned only)
    objective: str = "match"
    # forward passes over the texts that learning may cost (learned only)
    passes: int = 100
    # only as many examples as the best k need (cdt only; see `adaptive`)
    adaptive: bool = False
    # the best k with a stated confidence (ablation only; see `certified`)
    certified: bool = False
    # how many heads an adaptive or a certified pass finds; None: 2 % of all
    k: int | None = None
    # heads that an adaptive pass does not rank, because they are in the circuit already
    skip: tuple[Head, ...] = ()
    # token streams at a time (heads x examples x positions); None: what is fast and fits
    batch_tokens: int | None = None
    # bytes, or text such as "4GB", that the process may use at its peak; None: what is free
    max_memory: int | str | None = None

    def __post_init__(self):
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise UserError(
                    f"{value!r} is not a choice of {name}; choose from"
                    f" {', '.join(str(choice) for choice in choices if choice)}."
                )
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise UserError(
                f"batch_tokens is {self.batch_tokens}; choose a positive number of tokens."
            )
        if self.k is not None and self.k < 1:
            raise UserError(f"k is {self.k}; an adaptive pass finds at least 1 head.")
        if not 1 <= self.steps <= MOST_STEPS:
            raise UserError(f"steps is {self.steps}; choose 1 to {MOST_STEPS} points on the path.")
        if not 1 <= self.passes <= MOST_PASSES:
            raise UserError(f"passes is {self.passes}; choose 1 to {MOST_PASSES} forward passes.")
        object.__setattr__(self, "max_memory", parse_bytes(self.max_memory))

    def source_layers(self, n_layers: int) -> int:
        """How many layers, from the first on, hold heads that act on the targets."""
        return max(layer for layer, _ in self.targets) if self.targets else n_layers
