"""Circuits: sets of heads, with the reason why each head is in the set."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from ctsft.attribution.scores import MOST_HEADS, Head, ModelShape
from ctsft.utils.atomic_files import write_text
from ctsft.utils.errors import UserError, cut, quoted
from ctsft.utils.format import head_name
from ctsft.utils.json_files import parse_json, problem, read_regular, reason_of
from ctsft.utils.notebook import figure_html, table_html

LOGITS = "logits"
FILE_FORMAT = "ctsft-circuit-1"
NOTEBOOK_ROWS = 20
MODEL_FIELDS = ("model", "model_type", "n_layers", "n_heads")

# a head, what it was chosen for (a later head or LOGITS), its relevance there
Edge = tuple[Head, Head | str, float]


@dataclass(frozen=True)
class Circuit:
    """Heads of a model. `why`: the reason for each head in a few words; `notes`: what the user
    noted on heads of it.
    """

    heads: frozenset[Head]
    why: dict[Head, str] = field(default_factory=dict, compare=False)
    # the model it belongs to: model, model_type, n_layers, n_heads
    model: dict = field(default_factory=dict, compare=False)
    # the selection rule ("name") and its settings
    rule: dict = field(default_factory=dict, compare=False)
    # by hand, in addition to the rule and against it
    added: frozenset[Head] = frozenset()
    removed: frozenset[Head] = frozenset()
    edges: tuple[Edge, ...] = field(default=(), compare=False)  # of a discovered circuit
    notes: dict[Head, str] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.heads)

    def __contains__(self, head: Head) -> bool:
        return tuple(head) in self.heads

    def edit(self, added=(), removed=()) -> "Circuit":
        """The same circuit with heads added and removed by hand."""
        added = frozenset(map(tuple, added)) - self.heads
        removed = frozenset(map(tuple, removed)) & self.heads
        why = {head: reason for head, reason in self.why.items() if head not in removed}
        return replace(
            self,
            heads=(self.heads | added) - removed,
            why=why | dict.fromkeys(added, "added by hand"),
            added=(self.added | added) - removed,
            removed=(self.removed | removed) - added,
        )

    def check(self, model) -> "Circuit":
        """The circuit itself, if it fits the model. Raises UserError if it does not."""
        for name in ("model_type", "n_layers", "n_heads"):
            if name in self.model and self.model[name] != getattr(model, name):
                raise UserError(
                    f"This circuit belongs to another model: its {name} is {self.model[name]!r} and"
                    f" this model's is {getattr(model, name)!r}; load"
                    f" {self.model.get('model') or 'the model it was discovered in'}, or discover a"
                    " new one."
                )
        for layer, head in sorted(self.heads):
            if not (0 <= layer < model.n_layers and 0 <= head < model.n_heads):
                raise UserError(
                    f"This circuit has the head {head_name((layer, head))}, and the model has"
                    f" {model.n_layers} layers of {model.n_heads} heads; use a circuit of this"
                    " model."
                )
        return self

    def _repr_html_(self) -> str:
        """The heads with their reasons as a table and, with plotly and a known shape, as a map."""
        heads = sorted(self.heads)
        rows = [(head_name(head), self.why.get(head, "")) for head in heads[:NOTEBOOK_ROWS]]
        title = f"Circuit of {len(heads)} heads"
        if len(heads) > NOTEBOOK_ROWS:
            title += f"; the first {NOTEBOOK_ROWS} by layer"
        table = table_html(f"{title}:", ("head", "why"), rows)
        if not {"n_layers", "n_heads"} <= set(self.model):
            return table
        return table + figure_html(self._membership_map)

    def _membership_map(self, plots):
        """A figure: 1 for the heads of the circuit, 0 for the others."""
        values = torch.zeros(self.model["n_layers"], self.model["n_heads"])
        for head in self.heads:
            values[head] = 1
        grid = plots("head_grid")
        return grid.head_grid(
            values.numpy(),
            plots("score_maps").circuit_marks(self),
            title=f"Circuit of {len(self.heads)} heads",
            scale=grid.Scale("in the circuit", sequential=True),
        )

    def save(self, path) -> None:
        """Write the file (`text`), as a whole or not at all."""
        write_text(Path(path), self.text(), "the circuit")

    def text(self) -> str:
        """JSON: the heads with their reasons, the rule, the model's shape."""
        content = {
            "format": FILE_FORMAT,
            "model": self.model,
            "rule": self.rule,
            "heads": [
                {"layer": layer, "head": head, "why": self.why.get((layer, head), "")}
                | ({"note": self.notes[layer, head]} if (layer, head) in self.notes else {})
                for layer, head in sorted(self.heads)
            ],
            "added": sorted(map(list, self.added)),
            "removed": sorted(map(list, self.removed)),
        }
        if self.edges:
            content["edges"] = [
                {"from": source, "to": target, "relevance": relevance}
                for source, target, relevance in self.edges
            ]
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def load(cls, path) -> "Circuit":
        """The circuit of a file that `save` wrote. Raises UserError when the file cannot be read or
        is not a circuit.
        """
        try:
            text = read_regular(Path(path)).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"The circuit file {quoted(str(path), 200)} cannot be read ({reason_of(error)});"
                " give one that Circuit.save wrote."
            ) from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "the text") -> "Circuit":
        """The circuit of a file's text; `name` is used in the UserError when it is not one."""
        advice = 'give JSON with a list "heads" of {"layer": 0, "head": 0}'
        try:
            said = CircuitFile.model_validate(parse_json(text))
        except ValueError as error:
            why = problem(error) if isinstance(error, ValidationError) else reason_of(error)
            raise UserError(f"{cut(name, 200)} is not a circuit ({why}); {advice}.") from None
        why = {(row.layer, row.head): row.why for row in said.heads}
        return cls(
            frozenset(why),
            why,
            said.model.model_dump(exclude_unset=True),
            said.rule.model_dump(exclude_unset=True),
            frozenset(said.added),
            frozenset(said.removed),
            tuple((edge.source, edge.to, edge.relevance) for edge in said.edges),
            {(row.layer, row.head): row.note for row in said.heads if row.note},
        )


Index = Annotated[StrictInt, Field(ge=0, lt=MOST_HEADS)]
Pair = tuple[Index, Index]
SIZED = ("top", "near_zero", "least", "random", "fraction")  # rules that select a number of heads


class HeadRow(BaseModel):
    """A head in a circuit file."""

    model_config = ConfigDict(extra="forbid")
    layer: Index
    head: Index
    why: StrictStr = ""
    note: StrictStr = ""


class EdgeRow(BaseModel):
    """An edge of a discovered circuit."""

    model_config = ConfigDict(extra="forbid")
    source: Pair = Field(alias="from")
    to: Literal["logits"] | Pair
    relevance: FiniteFloat


class Rule(BaseModel):
    """The rule that chose the heads: its name, and the settings that it needs."""

    model_config = ConfigDict(extra="allow")
    name: StrictStr | None = None
    k: Annotated[StrictInt, Field(ge=0)] | None = None
    fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    threshold: FiniteFloat | None = None
    seed: Annotated[StrictInt, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _complete(self):
        if self.name == "threshold" and self.threshold is None:
            raise ValueError("the rule 'threshold' has no threshold")
        if self.name in SIZED and self.k is None and self.fraction is None:
            raise ValueError(f"the rule {self.name!r} has neither k nor fraction")
        return self


class CircuitFile(BaseModel):
    """What a circuit file may contain."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["ctsft-circuit-1"] = FILE_FORMAT
    model: ModelShape = ModelShape()
    rule: Rule = Rule()
    heads: list[HeadRow]
    added: list[Pair] = []
    removed: list[Pair] = []
    edges: list[EdgeRow] = []


def model_fields(about: dict) -> dict:
    """What a circuit stores of its model, from the `about` of scores or advice."""
    return {name: about[name] for name in MODEL_FIELDS if name in about}
