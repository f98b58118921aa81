"""How the numbers of a result.json are computed again: a rule for each path.

Accuracies and recalls from right and wrong per row, changes from accuracies, scores from the scores
of each example, counts from what they count, settings from the request.
"""

from collections.abc import Callable, Iterator

from ctsft.receipts.claims import Value
from ctsft.receipts.evidence import NotRecomputable, StoredRun
from ctsft.receipts.run_rows import train_rows
from ctsft.receipts.tuning_figures import counted, share_of_ones

Rule = Callable[[StoredRun, dict], Iterator[tuple[str, Callable[[], Value]]]]


def leaves(value: object, path: str = "") -> Iterator[tuple[str, Value]]:
    """("final/after/english/accuracy", 0.385) of every value in nested dictionaries and lists."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            yield from leaves(inner, f"{path}/{name}" if path else str(name))
    else:
        yield path, value


def is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def no_rules(run: StoredRun, done: dict) -> Iterator[tuple[str, Callable[[], Value]]]:
    yield from ()


def common_rule(run: StoredRun, path: str) -> Callable[[], Value] | None:
    """Settings of a summary are those of the request."""
    first, _, rest = path.partition("/")
    if first in ("config", "checks") and rest:
        return lambda: setting(run, first, rest)
    return None


def setting(run: StoredRun, part: str, path: str) -> Value:
    value = getattr(run.request, part)
    for name in path.split("/"):
        value = value[int(name)] if isinstance(value, list | tuple) else getattr(value, name)
    return value


def tuning_rules(run: StoredRun, done: dict) -> Iterator[tuple[str, Callable[[], Value]]]:
    tuning = run.request.tuning
    final = done.get("final") or {}
    for when in ("before", "after"):
        for language, of in (final.get(when) or {}).items():
            where = f"final/{when}/{language}"
            yield from metric_rules(run, where, of, (language, final["split"]))
    for name, plus, minus, language in (
        ("forgetting", "before", "after", done.get("source")),
        ("plasticity", "after", "before", done.get("target")),
    ):
        for metric in final.get(name) or {}:
            yield f"final/{name}/{metric}", difference(final, metric, language, (plus, minus))
    for i, row in enumerate(done.get("history") or []):
        yield from history_rules(run, f"history/{i}", row, tuning.eval_split)
    for language in done.get("rows") or {}:
        yield f"rows/{language}", count_of_rows(run, done, language)
    yield "heads", lambda: len(run.circuit)
    yield "n", lambda: tuning.n or len(train_rows(run))
    yield "total", lambda: fingerprint_total(run)
    if "parameters" in (done.get("outside") or {}) and "lora" not in tuning.what:
        outside = done["outside"]
        yield "trainable", lambda: done["total"] - outside["parameters"]
        yield "outside/parameters", lambda: done["total"] - done["trainable"]
        yield "outside/identical", lambda: identical_in(outside["text"])
    yield from share_rules(done)


def fingerprint_total(run: StoredRun) -> int:
    raise NotRecomputable("needs the model; `--deep` loads it")


def identical_in(text: str) -> int:
    """The count in the sentence of `outside`."""
    if text.startswith("Every "):
        return 0
    digits = text.split(" ")[0].replace(",", "")
    if not digits.isdigit():
        raise NotRecomputable("its sentence does not begin with a count")
    return int(digits)


def difference(
    final: dict, metric: str, language: str | None, whens: tuple[str, str]
) -> Callable[[], Value]:
    def recompute() -> Value:
        one, other = (final[when][language] for when in whens)
        if metric == "accuracy":
            return counted(one) - counted(other)
        return one[metric] - other[metric]

    return recompute


def history_rules(run: StoredRun, where: str, row: dict, split: str):
    metrics = row.get("metrics") or {}
    for language, of in metrics.items():
        yield from metric_rules(run, f"{where}/metrics/{language}", of, (language, split))
        yield f"{where}/accuracy/{language}", lambda of=of: counted(of)
    for name in ("step", "steps", "loss", "seconds", "epoch"):
        if row.get(name) is not None:
            yield f"{where}/{name}", lambda name=name: same_in_events(run, row["step"], name)


def same_in_events(run: StoredRun, step: int, name: str) -> Value:
    """The history repeats the events."""
    for row in run.evaluations:
        if row["step"] == step:
            return row.get(name)
    raise ValueError(f"events.jsonl has no evaluation at step {step}")


def metric_rules(run: StoredRun, where: str, of: dict, place: tuple[str, str]):
    """Of the metrics of some rows. place: their language and split."""
    right = of.get("right", "")
    if not right:
        return
    yield f"{where}/accuracy", lambda: share_of_ones(right)
    yield f"{where}/rows", lambda: len(right)
    for label in of.get("recall") or {}:
        yield f"{where}/recall/{label}", lambda label=label: recall(run, right, label, place)


def recall(run: StoredRun, right: str, label: str, place: tuple[str, str]) -> Value:
    """From right and wrong per row, and the rows' labels."""
    rows = run.rows(*place)
    if len(rows) != len(right):
        raise NotRecomputable("the rows of this machine are not those of the run")
    of_label = [mark for row, mark in zip(rows, right, strict=True) if row.label == label]
    return of_label.count("1") / len(of_label) if of_label else None


def count_of_rows(run: StoredRun, done: dict, language: str) -> Callable[[], Value]:
    def recompute() -> Value:
        for row in run.evaluations[:1]:
            right = (row.get("metrics") or {}).get(language, {}).get("right", "")
            if right:
                return len(right)
        raise NotRecomputable("the events do not say which rows were right")

    return recompute


def share_rules(done: dict):
    """Share 0 of a change is the model before tuning; the others need the model."""
    shares, history = done.get("shares") or {}, done.get("history") or []
    if not shares or not history or not shares.get("points"):
        return
    for place, row in ((0, history[0]), (len(shares["points"]) - 1, history[-1])):
        for language in shares["points"][place]["accuracy"]:
            if (row.get("metrics") or {}).get(language, {}).get("rows") == shares["rows"][language]:
                yield (
                    f"shares/points/{place}/accuracy/{language}",
                    lambda of=row["metrics"][language]: counted(of),
                )
    for i in range(len(shares["points"])):
        yield f"shares/points/{i}/share", lambda i=i: i / (len(shares["points"]) - 1)


def scoring_rules(run: StoredRun, done: dict) -> Iterator[tuple[str, Callable[[], Value]]]:
    yield "n_layers", lambda: run.scores.values.shape[0]
    yield "n_heads", lambda: run.scores.values.shape[1]
    yield "examples", lambda: len(run.scores.examples)
    for path, _ in leaves(done.get("values") or []):
        layer, head = map(int, path.split("/"))
        yield f"values/{path}", lambda place=(layer, head): run.scores.values[place].item()
    for i, row in enumerate(done.get("heads") or []):
        place = row["layer"], row["head"]
        yield f"heads/{i}/layer", lambda i=i: run.scores.ranking()[i][0]
        yield f"heads/{i}/head", lambda i=i: run.scores.ranking()[i][1]
        yield f"heads/{i}/score", lambda place=place: run.scores.values[place].item()
        yield f"heads/{i}/stderr", lambda place=place: run.scores.stderr[place].item()


def faithfulness_rules(run: StoredRun, done: dict) -> Iterator[tuple[str, Callable[[], Value]]]:
    """The points are the events again."""
    events = [row for row in run.run.events() if row.get("kind") in ("ranked", "random")]
    for i, point in enumerate(done.get("points") or []):
        for name, value in point.items():
            if is_figure(value):
                yield f"points/{i}/{name}", lambda i=i, name=name: events[i][name]
    yield "rows", lambda: len(run.rows(run.source, run.request.subject.split))


RULES: dict[str, Rule] = {
    "finetune": tuning_rules,
    "score": scoring_rules,
    "faithfulness": faithfulness_rules,
}
