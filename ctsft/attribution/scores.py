"""Scores of heads: the settings of a scoring pass and what comes out of it."""

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ctsft.attribution.means import POSITIONS
from ctsft.utils.errors import UserError
from ctsft.utils.units import parse_bytes

Head = tuple[int, int]

CHOICES = {
    "attention": ("softmax", "frozen"),
    "rules": ("paper", "symmetric"),
    "score": ("signed", "magnitude"),
    "positions": (None, *POSITIONS),
    "normalise": ("none", "layer"),
}


@dataclass(frozen=True)
class ScoreConfig:
    """Settings of a scoring pass; the defaults are the method's."""

    # "softmax" decomposes the pattern, "frozen" keeps it (cdt only)
    attention: str = "softmax"
    # "symmetric" shares cross terms evenly (cdt only; see `rules`)
    rules: str = "paper"
    # "magnitude": |rel|_1 / |irrel|_1 over the label logits (cdt only)
    score: str = "signed"
    # where a head is split: "all" or "readout"; None: as the means were taken
    positions: str | None = None
    targets: tuple[Head, ...] = ()  # later heads instead of the logits (cdt only)
    # "layer": a score is in units of its layer's mean size
    normalise: str = "none"
    steps: int = 5  # points on the path (ig only)
    # only as many examples as the best k need (cdt only; see `adaptive`)
    adaptive: bool = False
    # how many heads an adaptive pass is to find; None: 2 % of all
    k: int | None = None
    # heads an adaptive pass need not rank: they are kept already
    skip: tuple[Head, ...] = ()
    # token streams in flight (heads x examples x positions); None: what is fast and fits
    batch_tokens: int | None = None
    # bytes, or words such as "4GB", that the process may use at its peak; None: what is free
    max_memory: int | str | None = None

    def __post_init__(self):
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise UserError(
                    f"{value!r} is not a choice of {name}; choose from"
                    f" {', '.join(str(word) for word in known if word)}."
                )
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise UserError(
                f"batch_tokens is {self.batch_tokens}; give a positive number of tokens."
            )
        if self.k is not None and self.k < 1:
            raise UserError(f"k is {self.k}; an adaptive pass finds at least 1 head.")
        if not 1 <= self.steps <= 1000:
            raise UserError(f"steps is {self.steps}; choose 1 to 1000 points on the path.")
        object.__setattr__(self, "max_memory", parse_bytes(self.max_memory))


@dataclass(frozen=True)
class Scores:
    """Scores of every head; tensors are float32 on the CPU. A head that was no source (not earlier
    than any target) has NaN.
    """

    per_example: torch.Tensor  # [example, layer, head]
    examples: list[str]  # ids
    labels: list[str]  # gold label of each example
    method: str
    config: ScoreConfig
    about: dict = field(default_factory=dict)  # model, task: what the scores are of
    # what a reader should know of how they came about
    notes: list[str] = field(default_factory=list)

    @cached_property
    def values(self) -> torch.Tensor:
        """Mean over the examples that were scored, [layer, head]."""
        return self.per_example.double().nanmean(0).float()

    @cached_property
    def stderr(self) -> torch.Tensor:
        """Standard error of the mean, [layer, head]."""
        values, n = self.per_example.double(), self.counts
        spread = (values - values.nanmean(0)).square().nansum(0) / (n - 1).clamp(min=0)
        return (spread.sqrt() / n.sqrt()).float()

    @cached_property
    def counts(self) -> torch.Tensor:
        """How many examples each head was scored on, [layer, head]: all of them, fewer in an
        adaptive pass.
        """
        return (~self.per_example.isnan()).sum(0)

    @cached_property
    def by_label(self) -> dict[str, torch.Tensor]:
        """{label: mean over its examples, [layer, head]}."""
        return {
            label: (
                self.per_example[[i for i, own in enumerate(self.labels) if own == label]].nanmean(
                    0
                )
            )
            for label in dict.fromkeys(self.labels)
        }

    def ranking(self) -> list[Head]:
        """Heads by falling score, ties by layer and head; heads without a score are left out."""
        order = sorted(
            (
                (-value, (layer, head))
                for layer, row in enumerate(self.values.tolist())
                for head, value in enumerate(row)
                if value == value
            )
        )
        return [head for _, head in order]

    def csv(self) -> str:
        """One line a head: layer, head, score, standard error, rank, one column a label."""
        rank = {head: i + 1 for i, head in enumerate(self.ranking())}
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["layer", "head", "score", "stderr", "rank", *self.by_label])
        for layer, head in rank:
            writer.writerow(
                [
                    layer,
                    head,
                    self.values[layer, head].item(),
                    self.stderr[layer, head].item(),
                    rank[layer, head],
                    *(value[layer, head].item() for value in self.by_label.values()),
                ]
            )
        return out.getvalue()

    def save(self, path):
        """safetensors: `per_example` and `values`; everything else as JSON in its metadata."""
        words = {
            "examples": self.examples,
            "labels": self.labels,
            "method": self.method,
            "config": asdict(self.config),
            "about": self.about,
            "notes": self.notes,
        }
        save_file(
            {"per_example": self.per_example, "values": self.values.clone()},
            path,
            {"scores": json.dumps(words)},
        )

    @classmethod
    def load(cls, path) -> "Scores":
        with safe_open(path, "pt") as file:
            words = json.loads(file.metadata()["scores"])
            config = (
                {"rules": "paper"}
                | words["config"]
                | {
                    "targets": tuple(map(tuple, words["config"]["targets"])),
                    "skip": tuple(map(tuple, words["config"].get("skip", ()))),
                }
            )
            return cls(file.get_tensor("per_example"), **words | {"config": ScoreConfig(**config)})
