"""Circuits: sets of heads, how each came in, and whether the set is enough (faithfulness).

Selection rules are entries of a table: from scores to heads. `discover` runs the method's iterations (CT-SFT, arXiv
2601.08146): iteration 0 targets the logits, iteration d the heads kept at d - 1; each keeps the best `fraction` of all
heads among those not kept yet; the circuit is the union.
"""
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from ctsft import processes
from ctsft.answers import directions
from ctsft.errors import UserError
from ctsft.loading import as_model
from ctsft.means import Means, Progress
from ctsft.models import Model
from ctsft.relevance import Head, Scores, score_heads
from ctsft.tasks import Example, Task
from ctsft.trace import plain_batches, readout_logits, tapped


@dataclass(frozen=True)
class Circuit:
    """Heads of a model. `why` says in a few words how each came in; `model` names the shape it belongs to."""
    heads: frozenset[Head]
    why: dict[Head, str] = field(default_factory=dict, compare=False)
    model: dict = field(default_factory=dict, compare=False)        # model, model_type, n_layers, n_heads
    rule: dict = field(default_factory=dict, compare=False)         # the rule and its settings
    added: frozenset[Head] = frozenset()                            # by hand, against the rule
    removed: frozenset[Head] = frozenset()

    def __len__(self) -> int:
        return len(self.heads)

    def __contains__(self, head: Head) -> bool:
        return tuple(head) in self.heads

    def edit(self, added=(), removed=()) -> "Circuit":
        """The same rule's circuit with heads put in and taken out by hand."""
        added, removed = frozenset(map(tuple, added)) - self.heads, frozenset(map(tuple, removed)) & self.heads
        why = {head: words for head, words in self.why.items() if head not in removed} | dict.fromkeys(added, "added by hand")
        return replace(self, heads=(self.heads | added) - removed, why=why,
                       added=(self.added | added) - removed, removed=(self.removed | removed) - added)

    def check(self, model) -> "Circuit":
        """Itself, if it fits the model; UserError says how it does not."""
        for name in ("model_type", "n_layers", "n_heads"):
            if name in self.model and self.model[name] != getattr(model, name):
                raise UserError(f"This circuit belongs to another model: its {name} is {self.model[name]!r} and this model's is "
                                f"{getattr(model, name)!r}; load {self.model.get('model') or 'the model it was found in'}, or discover a new one.")
        outside = [head for head in sorted(self.heads) if not (0 <= head[0] < model.n_layers and 0 <= head[1] < model.n_heads)]
        if outside:
            raise UserError(f"This circuit has the head L{outside[0][0]}.H{outside[0][1]}, and the model has {model.n_layers} layers of "
                            f"{model.n_heads} heads; use a circuit of this model.")
        return self

    def save(self, path):
        """JSON: heads with their reasons, the rule, the model's shape."""
        heads = [{"layer": layer, "head": head, "why": self.why.get((layer, head), "")} for layer, head in sorted(self.heads)]
        words = {"format": "ctsft-circuit-1", "model": self.model, "rule": self.rule, "heads": heads,
                 "added": sorted(map(list, self.added)), "removed": sorted(map(list, self.removed))}
        Path(path).write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path) -> "Circuit":
        """UserError when the file is not there or is not a circuit."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"The circuit file {str(path)!r} cannot be read ({type(error).__name__}); give one that Circuit.save wrote.") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "the text") -> "Circuit":
        try:
            words = json.loads(text)
            why = {(int(row["layer"]), int(row["head"])): str(row.get("why", "")) for row in words["heads"]}
            added, removed = (frozenset((int(a), int(b)) for a, b in words.get(key, ())) for key in ("added", "removed"))
            return cls(frozenset(why), why, dict(words.get("model", {})), dict(words.get("rule", {})), added, removed)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{name} is not a circuit ({type(error).__name__}: {error}); give JSON with a list \"heads\" of "
                            f"{{\"layer\": 0, \"head\": 0}}.") from None


@dataclass(frozen=True)
class Selection:
    """Settings of a rule; each rule reads its own."""
    k: int | None = None
    fraction: float | None = None
    threshold: float | None = None
    seed: int = 0

    def size(self, n_heads: int) -> int:
        """How many heads: k, or `max(1, floor(fraction * n_heads))`."""
        if self.k is not None:
            if not 0 <= self.k <= n_heads:
                raise UserError(f"k is {self.k}, and the model has {n_heads} heads; choose 0 to {n_heads}.")
            return self.k
        if self.fraction is None:
            raise UserError("This rule needs a size; give k=... (heads) or fraction=... (share of all heads).")
        return share_of(self.fraction, n_heads)


def share_of(fraction: float, n_heads: int) -> int:
    if not 0 < fraction <= 1:
        raise UserError(f"fraction is {fraction}; choose a share of the heads above 0 and at most 1.")
    return max(1, int(fraction * n_heads + 1e-9))


def _top(scores: Scores, s: Selection) -> dict[Head, str]:
    return {head: f"rank {i + 1} by score" for i, head in enumerate(scores.ranking()[:s.size(scores.values.numel())])}


def _threshold(scores: Scores, s: Selection) -> dict[Head, str]:
    if s.threshold is None:
        raise UserError("The rule 'threshold' needs threshold=..., a score.")
    return {head: f"score at least {s.threshold:.3g}" for head in scores.ranking() if scores.values[head] >= s.threshold}


def _least(scores: Scores, s: Selection) -> dict[Head, str]:
    return {head: f"rank {i + 1} from the bottom" for i, head in enumerate(scores.ranking()[::-1][:s.size(scores.values.numel())])}


def _near_zero(scores: Scores, s: Selection) -> dict[Head, str]:
    order = sorted(scores.ranking(), key=lambda head: (abs(scores.values[head].item()), head))
    return {head: f"rank {i + 1} by closeness to zero" for i, head in enumerate(order[:s.size(scores.values.numel())])}


def _random(scores: Scores, s: Selection) -> dict[Head, str]:
    every = [(layer, head) for layer in range(scores.values.shape[0]) for head in range(scores.values.shape[1])]
    return dict.fromkeys(random.Random(s.seed).sample(every, s.size(len(every))), f"drawn with seed {s.seed}")


def _all(scores: Scores, s: Selection) -> dict[Head, str]:
    return {(layer, head): "every head" for layer in range(scores.values.shape[0]) for head in range(scores.values.shape[1])}


RULES: dict[str, Callable[[Scores, Selection], dict[Head, str]]] = {
    "threshold": _threshold, "top": _top, "fraction": _top, "near_zero": _near_zero, "least": _least, "random": _random,
    "all": _all, "none": lambda scores, s: {}}


def select(scores: Scores, rule: str = "top", **settings) -> Circuit:
    """A circuit by rule: threshold(threshold), top(k), fraction(fraction), near_zero, least, random(k or fraction, seed), all, none."""
    if rule not in RULES:
        raise UserError(f"{rule!r} is not a selection rule; choose from {', '.join(RULES)}.")
    unknown = set(settings) - set(Selection.__dataclass_fields__)
    if unknown:
        raise UserError(f"{sorted(unknown)[0]!r} is not a setting of a rule; choose from {', '.join(Selection.__dataclass_fields__)}.")
    chosen = Selection(**settings)
    why = RULES[rule](scores, chosen)
    words = {"name": rule, **{key: value for key, value in asdict(chosen).items() if key in settings}, "method": scores.method}
    return Circuit(frozenset(why), why, shape_of(scores.about), words)


def shape_of(about: dict) -> dict:
    return {key: about[key] for key in ("model", "model_type", "n_layers", "n_heads") if key in about}


def discover(model, task: Task, pool: list[Example], means: Means, depth: int = 1, fraction: float = 0.02,
             progress: Progress | None = None, **config) -> Circuit:
    """The method's circuit after iterations 0 to `depth`; `config` are settings of `ScoreConfig`.

    Raises UserError for a negative depth or a fraction outside (0, 1].
    """
    *_, (circuit, _) = iterations(model, task, pool, means, depth, fraction, progress, **config)
    return circuit


def iterations(model, task: Task, pool, means: Means, depth: int, fraction: float, progress: Progress | None = None,
               **config) -> Iterator[tuple[Circuit, Scores]]:
    """The growing circuit and the scores of each iteration. Ends early when no earlier layer is left to look in."""
    model = as_model(model)
    if depth < 0:
        raise UserError(f"depth is {depth}; choose 0 (heads that act on the logits), 1 or more.")
    size, why, targets = share_of(fraction, model.n_layers * model.n_heads), {}, ()
    for step in range(depth + 1):
        if step and not any(layer for layer, _ in targets):
            return
        report = progress and (lambda done, total, step=step: progress(step + done / total, depth + 1))
        only = {"k": size, "skip": tuple(sorted(why))} if config.get("adaptive") else {}
        scores = score_heads(model, task, pool, means, progress=report, **config | {"targets": targets} | only)
        new = [head for head in scores.ranking() if head not in why][:size]
        aim = "the logits" if not targets else "the heads of iteration " + str(step - 1)
        why |= {head: f"iteration {step}: rank {i + 1} for {aim}, score {scores.values[head].item():.3g}" for i, head in enumerate(new)}
        targets = tuple(new)
        rule = {"name": "discover", "depth": step, "fraction": fraction, "method": "cdt", "attention": scores.config.attention}
        yield Circuit(frozenset(why), dict(why), shape_of(scores.about), rule), scores


@dataclass(frozen=True)
class Faithfulness:
    """(m(circuit) - m(empty)) / (m(full) - m(empty)) for m = accuracy and m = mean margin; NaN where full and empty agree.

    `raw[which][m]`, which in circuit, empty, full. `n` rows.
    """
    raw: dict[str, dict[str, float]]
    n: int

    def ratio(self, measure: str) -> float:
        span = self.raw["full"][measure] - self.raw["empty"][measure]
        return (self.raw["circuit"][measure] - self.raw["empty"][measure]) / span if span else float("nan")

    @property
    def accuracy(self) -> float:
        return self.ratio("accuracy")

    @property
    def margin(self) -> float:
        return self.ratio("margin")


@torch.no_grad()
def ablated(model: Model, task: Task, heads, rows: list[Example], means: Means) -> dict[str, float]:
    """Accuracy and mean margin when every head outside `heads` gives its mean instead, at every position."""
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
    for batch in processes.mine(list(plain_batches(model, [task.encode(model, row) for row in rows], 0.25))):
        with tapped(replace_outside):
            logits = readout_logits(model.hf, batch)[:, tokens].float().cpu()
        right += (logits.argmax(-1) == gold[batch.index]).sum().item()
        margin += (logits * weights[batch.index]).sum().item()
    right, margin = processes.summed(torch.tensor([right, margin], dtype=torch.float64), model.device).tolist()
    return {"accuracy": right / len(rows), "margin": margin / len(rows)}


def faithfulness(model, task: Task, circuit: Circuit, rows: list[Example], means: Means) -> Faithfulness:
    """How much of the task the circuit alone keeps on `rows`. Raises UserError for a circuit of another model or no rows."""
    model = as_model(model)
    circuit.check(model)
    if not rows:
        raise UserError("There are no rows to measure faithfulness on; give at least one.")
    sets = {"circuit": circuit.heads, "empty": (), "full": model.heads}
    return Faithfulness({name: ablated(model, task, heads, rows, means) for name, heads in sets.items()}, len(rows))


def faithfulness_curve(model, task: Task, scores: Scores, rows: list[Example], means: Means, sizes: list[int],
                       n_random: int = 10) -> Iterator[dict]:
    """Faithfulness against size: a row for each of the ranking's first `size` heads and for each of `n_random` random circuits of
    that size. Rows: {"size", "kind": "ranked" | "random", "seed", "accuracy", "margin"}."""
    model = as_model(model)
    ends = {"empty": ablated(model, task, (), rows, means), "full": ablated(model, task, model.heads, rows, means)}
    for size in sizes:
        sets = [("ranked", 0, select(scores, "top", k=size))]
        sets += [("random", seed, select(scores, "random", k=size, seed=seed)) for seed in range(n_random if 0 < size < len(model.heads) else 0)]
        for kind, seed, circuit in sets:
            report = Faithfulness(ends | {"circuit": ablated(model, task, circuit.heads, rows, means)}, len(rows))
            yield {"size": size, "kind": kind, "seed": seed, "accuracy": report.accuracy, "margin": report.margin, "raw": report.raw["circuit"]}
