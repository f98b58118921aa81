"""Circuits: sets of heads, how each came in, and whether the set is enough (faithfulness).

Selection rules are entries of a table: from scores to heads.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ctsft.attribution.means import Means
from ctsft.attribution.scores import Head, Scores
from ctsft.data.task import Example, Task
from ctsft.model.evaluation import directions
from ctsft.model.forward import readout_logits, tapped
from ctsft.model.loading import as_model
from ctsft.model.memory_plan import plain_batches
from ctsft.model.model import Model
from ctsft.utils import distributed
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


@dataclass(frozen=True)
class Selection:
    """Settings of a rule; each rule reads its own."""

    k: int | None = None
    fraction: float | None = None
    threshold: float | None = None
    seed: int = 0
    advice: Any = None  # `advise.Advice` or what is kept of it (`advised.Ranking`)

    def size(self, n_heads: int) -> int:
        """How many heads: k, or `max(1, floor(fraction * n_heads))`."""
        if self.k is not None:
            if not 0 <= self.k <= n_heads:
                raise UserError(
                    f"k is {self.k}, and the model has {n_heads} heads; choose 0 to {n_heads}."
                )
            return self.k
        if self.fraction is None:
            raise UserError(
                "This rule needs a size; give k=... (heads) or fraction=... (share of all heads)."
            )
        return share_of(self.fraction, n_heads)


def share_of(fraction: float, n_heads: int) -> int:
    if not 0 < fraction <= 1:
        raise UserError(
            f"fraction is {fraction}; choose a share of the heads above 0 and at most 1."
        )
    return max(1, int(fraction * n_heads + 1e-9))


def _top(scores: Scores, s: Selection) -> dict[Head, str]:
    return {
        head: f"rank {i + 1} by score"
        for i, head in enumerate(scores.ranking()[: s.size(scores.values.numel())])
    }


def _threshold(scores: Scores, s: Selection) -> dict[Head, str]:
    if s.threshold is None:
        raise UserError("The rule 'threshold' needs threshold=..., a score.")
    return {
        head: f"score at least {s.threshold:.3g}"
        for head in scores.ranking()
        if scores.values[head] >= s.threshold
    }


def _least(scores: Scores, s: Selection) -> dict[Head, str]:
    return {
        head: f"rank {i + 1} from the bottom"
        for i, head in enumerate(scores.ranking()[::-1][: s.size(scores.values.numel())])
    }


def _near_zero(scores: Scores, s: Selection) -> dict[Head, str]:
    order = sorted(scores.ranking(), key=lambda head: (abs(scores.values[head].item()), head))
    return {
        head: f"rank {i + 1} by closeness to zero"
        for i, head in enumerate(order[: s.size(scores.values.numel())])
    }


def _random(scores: Scores, s: Selection) -> dict[Head, str]:
    every = [
        (layer, head)
        for layer in range(scores.values.shape[0])
        for head in range(scores.values.shape[1])
    ]
    return dict.fromkeys(
        random.Random(s.seed).sample(every, s.size(len(every))), f"drawn with seed {s.seed}"
    )


def _advised(scores: Scores, s: Selection) -> dict[Head, str]:
    if s.advice is None:
        raise UserError(
            "The rule 'advised' cannot be read off relevance scores; give advice=..., which"
            " ctsft.advise_heads returns, or take the circuit.json of a finished `python -m ctsft"
            " advise`."
        )
    found = s.advice.circuit(s.size(scores.values.numel()))
    for name in ("model_type", "n_layers", "n_heads"):
        if name in found.model and found.model[name] != scores.about.get(name):
            raise UserError(
                f"This advice is of another model: its {name} is {found.model[name]!r} and the"
                f" scores' is {scores.about.get(name)!r}; take advice on the model that was scored."
            )
    return found.why


def _all(scores: Scores, s: Selection) -> dict[Head, str]:
    return {
        (layer, head): "every head"
        for layer in range(scores.values.shape[0])
        for head in range(scores.values.shape[1])
    }


RULES: dict[str, Callable[[Scores, Selection], dict[Head, str]]] = {
    "threshold": _threshold,
    "top": _top,
    "fraction": _top,
    "near_zero": _near_zero,
    "least": _least,
    "random": _random,
    "advised": _advised,
    "all": _all,
    "none": lambda scores, s: {},
}


def select(scores: Scores, rule: str = "top", **settings) -> Circuit:
    """A circuit by rule: threshold(threshold), top(k), fraction(fraction), near_zero, least,
    random(k or fraction, seed), all, none; advised(k or fraction, advice), which needs advice on
    the same model: relevance does not hold it.
    """
    if rule not in RULES:
        raise UserError(f"{rule!r} is not a selection rule; choose from {', '.join(RULES)}.")
    unknown = set(settings) - set(Selection.__dataclass_fields__)
    if unknown:
        raise UserError(
            f"{sorted(unknown)[0]!r} is not a setting of a rule; choose from"
            f" {', '.join(Selection.__dataclass_fields__)}."
        )
    chosen = Selection(**settings)
    why = RULES[rule](scores, chosen)
    words = {
        "name": rule,
        **{key: value for key, value in settings.items() if key != "advice"},
        "method": scores.method,
    }
    words |= {"advice": chosen.advice.circuit(0).rule} if chosen.advice is not None else {}
    return Circuit(frozenset(why), why, shape_of(scores.about), words)


def shape_of(about: dict) -> dict:
    return {
        key: about[key] for key in ("model", "model_type", "n_layers", "n_heads") if key in about
    }


@dataclass(frozen=True)
class Faithfulness:
    """(m(circuit) - m(empty)) / (m(full) - m(empty)) for m = accuracy and m = mean margin; NaN
    where full and empty agree.

    `raw[which][m]`, which in circuit, empty, full. `n` rows.
    """

    raw: dict[str, dict[str, float]]
    n: int

    def ratio(self, measure: str) -> float:
        span = self.raw["full"][measure] - self.raw["empty"][measure]
        return (
            (self.raw["circuit"][measure] - self.raw["empty"][measure]) / span
            if span
            else float("nan")
        )

    @property
    def accuracy(self) -> float:
        return self.ratio("accuracy")

    @property
    def margin(self) -> float:
        return self.ratio("margin")


@torch.no_grad()
def ablated(model: Model, task: Task, heads, rows: list[Example], means: Means) -> dict[str, float]:
    """Accuracy and mean margin when every head outside `heads` gives its mean instead, at every
    position.
    """
    outside = torch.ones(model.n_layers, model.n_heads, 1, dtype=torch.bool)
    for layer, head in heads:
        outside[layer, head] = False
    outside, mu = outside.to(model.device), means.values.to(model.device, model.dtype)
    layer_of = {block.attention: i for i, block in enumerate(model.blocks)}

    def replace_outside(call, z):
        layer = layer_of[call.module]
        return torch.where(outside[layer].to(z.device), mu[layer].to(z.device), z)

    tokens, right, margin = list(task.label_ids(model).values()), 0, 0.0
    gold = torch.tensor([task.labels.index(row.label) for row in rows])
    weights = directions(gold, len(tokens))
    for batch in distributed.mine(
        list(plain_batches(model, [task.encode(model, row) for row in rows], 0.25))
    ):
        with tapped(replace_outside):
            logits = readout_logits(model.hf, batch)[:, tokens].float().cpu()
        right += (logits.argmax(-1) == gold[batch.index]).sum().item()
        margin += (logits * weights[batch.index]).sum().item()
    right, margin = distributed.summed(
        torch.tensor([right, margin], dtype=torch.float64), model.device
    ).tolist()
    return {"accuracy": right / len(rows), "margin": margin / len(rows)}


def faithfulness(
    model, task: Task, circuit: Circuit, rows: list[Example], means: Means
) -> Faithfulness:
    """How much of the task the circuit alone keeps on `rows`. Raises UserError for a circuit of
    another model or no rows.
    """
    model = as_model(model)
    circuit.check(model)
    if not rows:
        raise UserError("There are no rows to measure faithfulness on; give at least one.")
    sets = {"circuit": circuit.heads, "empty": (), "full": model.heads}
    return Faithfulness(
        {name: ablated(model, task, heads, rows, means) for name, heads in sets.items()}, len(rows)
    )


def faithfulness_curve(
    model,
    task: Task,
    scores: Scores,
    rows: list[Example],
    means: Means,
    sizes: list[int],
    n_random: int = 10,
) -> Iterator[dict]:
    """Faithfulness against size: a row for each of the ranking's first `size` heads and for each of
    `n_random` random circuits of that size. Rows: {"size", "kind": "ranked" | "random", "seed",
    "accuracy", "margin"}.
    """
    model = as_model(model)
    ends = {
        "empty": ablated(model, task, (), rows, means),
        "full": ablated(model, task, model.heads, rows, means),
    }
    for size in sizes:
        sets = [("ranked", 0, select(scores, "top", k=size))]
        sets += [
            ("random", seed, select(scores, "random", k=size, seed=seed))
            for seed in range(n_random if 0 < size < len(model.heads) else 0)
        ]
        for kind, seed, circuit in sets:
            report = Faithfulness(
                ends | {"circuit": ablated(model, task, circuit.heads, rows, means)}, len(rows)
            )
            yield {
                "size": size,
                "kind": kind,
                "seed": seed,
                "accuracy": report.accuracy,
                "margin": report.margin,
                "raw": report.raw["circuit"],
            }
