"""Circuits: sets of heads, how each came in, and whether the set is enough (faithfulness).

Selection rules are entries of a table: from scores to heads.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from ctsft.attribution.scores import Head
from ctsft.utils.errors import UserError

LOGITS = "logits"

# from a head to what it was chosen for, a later head or LOGITS; its relevance there
Edge = tuple[Head, Head | str, float]


@dataclass(frozen=True)
class Circuit:
    """Heads of a model. `why` says in a few words how each came in; `model` names the shape it
    belongs to.
    """

    heads: frozenset[Head]
    why: dict[Head, str] = field(default_factory=dict, compare=False)
    # model, model_type, n_layers, n_heads
    model: dict = field(default_factory=dict, compare=False)
    rule: dict = field(default_factory=dict, compare=False)  # the rule and its settings
    added: frozenset[Head] = frozenset()  # by hand, against the rule
    removed: frozenset[Head] = frozenset()
    edges: tuple[Edge, ...] = field(default=(), compare=False)  # of a discovered circuit

    def __len__(self) -> int:
        return len(self.heads)

    def __contains__(self, head: Head) -> bool:
        return tuple(head) in self.heads

    def edit(self, added=(), removed=()) -> "Circuit":
        """The same rule's circuit with heads put in and taken out by hand."""
        added, removed = (
            frozenset(map(tuple, added)) - self.heads,
            frozenset(map(tuple, removed)) & self.heads,
        )
        why = {
            head: words for head, words in self.why.items() if head not in removed
        } | dict.fromkeys(added, "added by hand")
        return replace(
            self,
            heads=(self.heads | added) - removed,
            why=why,
            added=(self.added | added) - removed,
            removed=(self.removed | removed) - added,
        )

    def check(self, model) -> "Circuit":
        """Itself, if it fits the model; UserError says how it does not."""
        for name in ("model_type", "n_layers", "n_heads"):
            if name in self.model and self.model[name] != getattr(model, name):
                raise UserError(
                    f"This circuit belongs to another model: its {name} is {self.model[name]!r} and"
                    f" this model's is {getattr(model, name)!r}; load"
                    f" {self.model.get('model') or 'the model it was found in'}, or discover a new"
                    " one."
                )
        outside = [
            head
            for head in sorted(self.heads)
            if not (0 <= head[0] < model.n_layers and 0 <= head[1] < model.n_heads)
        ]
        if outside:
            raise UserError(
                f"This circuit has the head L{outside[0][0]}.H{outside[0][1]}, and the model has"
                f" {model.n_layers} layers of {model.n_heads} heads; use a circuit of this model."
            )
        return self

    def save(self, path):
        """JSON: heads with their reasons, the rule, the model's shape."""
        heads = [
            {"layer": layer, "head": head, "why": self.why.get((layer, head), "")}
            for layer, head in sorted(self.heads)
        ]
        edges = [
            {"from": source, "to": target, "relevance": relevance}
            for source, target, relevance in self.edges
        ]
        words = {
            "format": "ctsft-circuit-1",
            "model": self.model,
            "rule": self.rule,
            "heads": heads,
            "added": sorted(map(list, self.added)),
            "removed": sorted(map(list, self.removed)),
            **({"edges": edges} if edges else {}),
        }
        Path(path).write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path) -> "Circuit":
        """UserError when the file is not there or is not a circuit."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"The circuit file {str(path)!r} cannot be read ({type(error).__name__}); give one"
                " that Circuit.save wrote."
            ) from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "the text") -> "Circuit":
        try:
            words = json.loads(text)
            why = {
                (int(row["layer"]), int(row["head"])): str(row.get("why", ""))
                for row in words["heads"]
            }
            added, removed = (
                frozenset(map(_head, words.get(key, ()))) for key in ("added", "removed")
            )
            edges = tuple(
                (
                    _head(row["from"]),
                    LOGITS if row["to"] == LOGITS else _head(row["to"]),
                    float(row["relevance"]),
                )
                for row in words.get("edges", ())
            )
            return cls(
                frozenset(why),
                why,
                dict(words.get("model", {})),
                dict(words.get("rule", {})),
                added,
                removed,
                edges,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{name} is not a circuit ({type(error).__name__}: {error}); give JSON with a list"
                ' "heads" of {"layer": 0, "head": 0}.'
            ) from None


def _head(pair) -> Head:
    layer, head = pair
    return int(layer), int(head)


def shape_of(about: dict) -> dict:
    return {
        key: about[key] for key in ("model", "model_type", "n_layers", "n_heads") if key in about
    }
