"""Scores of heads at single positions: each head was split into z - mu and mu at one position
alone, in turn (see `position_relevance`).

CD-T reports heads at specific sequence positions (arXiv 2407.00886). Natural texts do not align, so
positions are counted from the readout: 0 is the token at which the answer is read, -1 the token
before it.
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctsft.utils.csv_text import csv_text
from ctsft.utils.format import head_name, head_of
from ctsft.utils.json_files import checked, read_json_file

ADVICE = "make one with `python -m ctsft score --positions each`"


@dataclass(frozen=True)
class PositionScores:
    """Scores of heads at single positions, in logits; tensors are float32 on the CPU."""

    per_example: torch.Tensor  # [example, head, offset]; NaN where a text has no such token
    heads: list[tuple[int, int]]  # layer, head; both count from 0
    # positions counted from the readout, rising; 0 is the readout
    offsets: list[int]
    tokens: list[list[str]]  # the prompt of each example as readable tokens
    examples: list[str]  # ids
    method: str
    config: dict = field(default_factory=dict)  # settings of the pass

    @cached_property
    def values(self) -> torch.Tensor:
        """Mean over the texts that have a token there, [head, offset]."""
        return self.per_example.double().nanmean(0).float()

    @cached_property
    def counts(self) -> torch.Tensor:
        """How many texts have a token at each offset, [offset]."""
        return (~self.per_example[:, 0].isnan()).sum(0)

    @cached_property
    def stderr(self) -> torch.Tensor:
        """Standard error of the mean, [head, offset]; NaN for a single text."""
        values = self.per_example.double()
        spread = (values - values.nanmean(0)).square().nansum(0)
        return (spread / (self.counts - 1).clamp(min=0) / self.counts).sqrt().float()

    def on_text(self, example: int) -> torch.Tensor:
        """The scores on one text, [head, pos], a column for each of its `tokens`."""
        scores = self.per_example[example]
        return scores[:, ~scores[0].isnan()]

    def csv(self) -> str:
        """One line for each head and offset: layer, head, offset, score, stderr, texts."""
        rows = [
            {
                "layer": layer,
                "head": head,
                "offset": offset,
                "score": self.values[i, j].item(),
                "stderr": self.stderr[i, j].item(),
                "texts": self.counts[j].item(),
            }
            for i, (layer, head) in enumerate(self.heads)
            for j, offset in enumerate(self.offsets)
        ]
        return csv_text(["layer", "head", "offset", "score", "stderr", "texts"], rows)

    def summary(self) -> dict:
        """The means over texts as JSON can hold them; null where no number is defined."""
        return {
            "heads": [head_name(head) for head in self.heads],
            "offsets": self.offsets,
            "values": without_nan(self.values.tolist()),
            "stderr": without_nan(self.stderr.tolist()),
            "texts": self.counts.tolist(),
        }

    def row(self) -> dict:
        """Everything as JSON can hold it."""
        return self.summary() | {
            "examples": self.examples,
            "tokens": self.tokens,
            "per_example": [
                self.on_text(example).tolist() for example in range(len(self.examples))
            ],
            "method": self.method,
            "config": self.config,
        }

    @classmethod
    def load(cls, path) -> "PositionScores":
        """The scores of a `positions.json`. UserError for any other file."""
        said = checked(
            read_json_file(path, "The scores by position", ADVICE),
            PositionsFile,
            f"The file {str(path)!r} of scores by position",
            ADVICE,
        )
        heads = [head_of(name) for name in said.heads]
        return cls(said.aligned(), heads, said.offsets, said.tokens, said.examples, said.method)


class PositionsFile(BaseModel):
    """What a positions.json says; its means are computed again from the texts."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)
    heads: list[str] = Field(min_length=1)
    offsets: list[int] = Field(min_length=1)
    examples: list[str] = Field(min_length=1)
    tokens: list[list[str]]
    per_example: list[list[list[float]]]  # by example, head and token
    method: str

    @model_validator(mode="after")
    def _one_shape(self):
        if not len(self.examples) == len(self.tokens) == len(self.per_example):
            raise ValueError("it has not as many texts as examples")
        for part, tokens in zip(self.per_example, self.tokens, strict=True):
            if not 0 < len(tokens) <= len(self.offsets) or len(part) != len(self.heads):
                raise ValueError("its scores do not fit its heads and tokens")
            if any(len(values) != len(tokens) for values in part):
                raise ValueError("its scores do not fit its tokens")
        return self

    def aligned(self) -> torch.Tensor:
        """[example, head, offset], NaN where a text has no token."""
        shape = (len(self.examples), len(self.heads), len(self.offsets))
        scores = torch.full(shape, float("nan"))
        from_start = self.offsets[0] >= 0  # a classifier reads at its first token
        for row, part in zip(scores, self.per_example, strict=True):
            values = torch.tensor(part, dtype=torch.float32)
            n = values.shape[1]
            row[:, slice(0, n) if from_start else slice(shape[2] - n, None)] = values
        return scores


def without_nan(rows: list[list[float]]) -> list[list[float | None]]:
    return [[value if value == value else None for value in row] for row in rows]
