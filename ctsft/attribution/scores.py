"""Scores of heads: the settings of a scoring pass, and its result."""

import json
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, create_model
from safetensors.torch import save_file

from ctsft.attribution.position_scores import PositionScores
from ctsft.attribution.score_config import ScoreConfig
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.csv_text import csv_text
from ctsft.utils.errors import UserError
from ctsft.utils.format import Head, head_name, number
from ctsft.utils.notebook import figure_html, table_html
from ctsft.utils.tensor_files import TensorFile

MOST_HEADS = 10_000  # of a layer, and layers, in a file
NOTEBOOK_ROWS = 10


@dataclass(frozen=True)
class Scores:
    """Scores of every head in logits (see `methods.METHODS` for each method's unit); tensors are
    float32 on the CPU. A head that was no source, because it is not earlier than any target, has
    NaN.
    """

    per_example: torch.Tensor  # [example, layer, head]
    examples: list[str]  # ids
    labels: list[str]  # gold label of each example
    method: str
    config: ScoreConfig
    about: dict = field(default_factory=dict)  # the model and the task
    # what a reader should know of how they were computed
    notes: list[str] = field(default_factory=list)
    # of a certified pass: certified, k, confidence, passes, full, doubtful (see `Certificate`)
    certificate: dict = field(default_factory=dict)
    # of some heads, where `positions="each"` was asked for; not saved with the others
    by_position: PositionScores | None = None

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
        """How many examples each head was scored on, [layer, head]: all of them, or fewer in an
        adaptive pass.
        """
        return (~self.per_example.isnan()).sum(0)

    @cached_property
    def by_label(self) -> dict[str, torch.Tensor]:
        """{label: mean over its examples, [layer, head]}."""
        rows_of: dict[str, list[int]] = {}
        for row, label in enumerate(self.labels):
            rows_of.setdefault(label, []).append(row)
        return {label: self.per_example[rows].nanmean(0) for label, rows in rows_of.items()}

    def ranking(self) -> list[Head]:
        """Heads by falling score, ties by layer and head; heads without a score are left out."""
        values = self.values.tolist()
        heads = [
            (layer, head)
            for layer, row in enumerate(values)
            for head, value in enumerate(row)
            if value == value  # not NaN
        ]
        return sorted(heads, key=lambda head: (-values[head[0]][head[1]], head))

    def csv(self) -> str:
        """One line a head: layer, head, score, standard error, rank, one column a label."""
        by_label = self.by_label
        rows = []
        for rank, head in enumerate(self.ranking(), 1):
            score, error = self.values[head].item(), self.stderr[head].item()
            row = {"layer": head[0], "head": head[1], "score": score, "stderr": error, "rank": rank}
            rows.append(row | {label: values[head].item() for label, values in by_label.items()})
        return csv_text(["layer", "head", "score", "stderr", "rank", *by_label], rows)

    def _repr_html_(self) -> str:
        """The first heads as a table and, with plotly, all heads as a map."""
        rows = [
            (
                rank,
                head_name(head),
                number(self.values[head].item()),
                number(self.stderr[head].item()),
            )
            for rank, head in enumerate(self.ranking()[:NOTEBOOK_ROWS], 1)
        ]
        layers, heads = self.values.shape
        title = (
            f"Scores by {self.method} of {layers} x {heads} heads on {len(self.examples)} examples;"
            f" the first {len(rows)}:"
        )
        table = table_html(title, ("rank", "head", "score (logits)", "standard error"), rows)
        return table + figure_html(lambda plots: plots("score_maps").head_map(self))

    def save(self, path) -> None:
        """A safetensors file: `per_example` and `values`; everything else as JSON in its
        metadata.
        """
        description = {
            "examples": self.examples,
            "labels": self.labels,
            "method": self.method,
            "config": asdict(self.config),
            "about": self.about,
            "notes": self.notes,
            "certificate": self.certificate,
        }
        with atomic_path(path, "the scores") as part:
            save_file(
                {"per_example": self.per_example, "values": self.values.clone()},
                part,
                {"scores": json.dumps(description)},
            )

    @classmethod
    def load(cls, path) -> "Scores":
        """The scores that `save` wrote. UserError for any other file."""
        file = TensorFile(
            path, "The scores file", "give a scores.safetensors of `python -m ctsft score`"
        )
        said, tensors = file.read("scores", ScoresFile)
        file.need_names(tensors, ("per_example", "values"))
        shape = (said.about.n_layers, said.about.n_heads)
        file.need_shape("per_example", tensors["per_example"], (len(said.examples), *shape))
        file.need_shape("values", tensors["values"], tensors["per_example"].shape[1:])
        file.need_floats("per_example", tensors["per_example"])
        if not said.examples or len(said.labels) != len(said.examples):
            raise file.refusal(
                f"it has {len(said.labels)} labels for {len(said.examples)} examples"
            )
        return cls(
            finite_scores(tensors["per_example"].float(), path),
            said.examples,
            said.labels,
            said.method,
            ScoreConfig(**said.config.model_dump()),
            said.about.model_dump(exclude_unset=True),
            said.notes,
            certificate=said.certificate,
        )


class ModelShape(BaseModel):
    """What a file says of the model that its heads belong to."""

    model_config = ConfigDict(extra="allow")
    model: str | None = None
    model_type: str | None = None
    n_layers: Annotated[int, Field(gt=0, le=MOST_HEADS)] | None = None
    n_heads: Annotated[int, Field(gt=0, le=MOST_HEADS)] | None = None


# files of earlier versions lack some settings; a setting that is not known is refused
ConfigFile = create_model(
    "ConfigFile",
    __config__=ConfigDict(extra="forbid"),
    **{entry.name: (entry.type, entry.default) for entry in fields(ScoreConfig)},
)


class ScoresFile(BaseModel):
    """The description in a scores file."""

    model_config = ConfigDict(extra="forbid")
    examples: list[str]
    labels: list[str]
    method: str
    config: ConfigFile
    about: ModelShape = ModelShape()
    notes: list[str] = []
    certificate: dict = {}


def finite_scores(per_example: torch.Tensor, path) -> torch.Tensor:
    """Stored scores as they are; NaN stands for a score that was not computed. UserError when one
    is infinite, or when there is none.
    """
    if per_example.isinf().any() or per_example.isnan().all():
        kind = "infinite" if per_example.isinf().any() else "only NaN"
        raise UserError(f"The scores in {str(path)!r} are {kind}; score the heads again.")
    return per_example
