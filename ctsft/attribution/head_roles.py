"""What `role_gates` finds: two gates and a role for each head, as a table and as a file."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctsft.utils.atomic_files import write_text
from ctsft.utils.csv_text import csv_text
from ctsft.utils.format import head_name
from ctsft.utils.json_files import checked, read_json_file

OPEN = 0.5  # a gate above it counts as open
FACILITATING, INTERFERING, IRRELEVANT = "facilitating", "interfering", "irrelevant"
ROLES = (FACILITATING, INTERFERING, IRRELEVANT)
ADVICE = "make one with `python -m ctsft score --roles`"


@dataclass(frozen=True)
class RoleGates:
    """Gates, 0 (the head's mean) to 1 (its own output), [layer, head] each."""

    opening: torch.Tensor  # learned against a penalty that opens them
    closing: torch.Tensor  # learned against a penalty that closes them


@dataclass(frozen=True)
class HeadRoles:
    """The role of every head, and how clearly; tensors are float32 on the CPU, [layer, head]."""

    gates: RoleGates
    examples: list[str]  # ids
    penalty: float  # of an equal share of the task
    about: dict = field(default_factory=dict)  # the model, the task, and the cost

    @cached_property
    def facilitating(self) -> torch.Tensor:
        """0 to 1: how far the gate stays open although the penalty closes it."""
        return self.gates.closing

    @cached_property
    def interfering(self) -> torch.Tensor:
        """0 to 1: how far the gate closes although the penalty opens it."""
        return 1 - self.gates.opening

    @cached_property
    def irrelevant(self) -> torch.Tensor:
        """0 to 1: how far the gate follows both penalties."""
        return self.gates.opening * (1 - self.gates.closing)

    @cached_property
    def values(self) -> torch.Tensor:
        """Facilitating minus interfering, -1 to 1; about 0 for an irrelevant head."""
        return self.facilitating - self.interfering

    def role(self, head: tuple[int, int]) -> str:
        """One of `ROLES`. A gate that stays open under one penalty and closed under the other
        against both is named after the stronger of the two.
        """
        needed, harmful = self.facilitating[head].item(), self.interfering[head].item()
        if max(needed, harmful) <= OPEN:
            return IRRELEVANT
        return FACILITATING if needed >= harmful else INTERFERING

    @cached_property
    def by_role(self) -> dict[str, list[tuple[int, int]]]:
        """{role: its heads}, the clearest first."""
        layers, heads = self.values.shape
        members_of: dict[str, list[tuple[int, int]]] = {role: [] for role in ROLES}
        for head in ((layer, head) for layer in range(layers) for head in range(heads)):
            members_of[self.role(head)].append(head)
        return {
            role: sorted(members, key=lambda head: (-getattr(self, role)[head].item(), head))
            for role, members in members_of.items()
        }

    def rows(self) -> list[dict]:
        """One for each head: layer, head, role, and the strength of each role."""
        layers, heads = self.values.shape
        return [
            {"layer": layer, "head": head, "role": self.role((layer, head))}
            | {role: getattr(self, role)[layer, head].item() for role in ROLES}
            for layer in range(layers)
            for head in range(heads)
        ]

    def csv(self) -> str:
        return csv_text(["layer", "head", "role", *ROLES], self.rows())

    def summary(self) -> dict:
        """{role: names of its heads}, the clearest first, and the cost in forward passes."""
        names = {role: list(map(head_name, heads)) for role, heads in self.by_role.items()}
        return names | {"passes": self.about.get("passes"), "penalty": self.penalty}

    def row(self) -> dict:
        """Everything as JSON can hold it."""
        return {
            "opening": self.gates.opening.tolist(),
            "closing": self.gates.closing.tolist(),
            "examples": self.examples,
            "penalty": self.penalty,
            "about": self.about,
        }

    def save(self, path) -> None:
        write_text(path, json.dumps(self.row(), ensure_ascii=False), "the roles")

    @classmethod
    def load(cls, path) -> "HeadRoles":
        """The roles that `save` wrote. UserError for any other file."""
        said = checked(
            read_json_file(path, "The roles of heads", ADVICE),
            RolesFile,
            f"The file {str(path)!r} of roles",
            ADVICE,
        )
        gates = RoleGates(torch.tensor(said.opening), torch.tensor(said.closing))
        return cls(gates, said.examples, said.penalty, said.about)


Gate = Annotated[float, Field(ge=0, le=1)]


class RolesFile(BaseModel):
    """What a roles.json says."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)
    opening: list[list[Gate]] = Field(min_length=1)
    closing: list[list[Gate]]
    examples: list[str] = Field(min_length=1)
    penalty: float = Field(gt=0)
    about: dict = {}

    @model_validator(mode="after")
    def _one_shape(self):
        widths = [list(map(len, gates)) for gates in (self.opening, self.closing)]
        if widths[0] != widths[1] or len(set(widths[0])) != 1 or not widths[0][0]:
            raise ValueError("its gates are not two tables of the same shape")
        return self
