"""The figures of a run folder, each with what it is computed from.

Every number of result.json, and of the rows of events.jsonl, is a claim. A rule says how it is
computed again: accuracies and recalls from right and wrong per row, changes from accuracies, scores
from the scores of each example, counts from what they count, settings from the request. A number
without a rule was measured by the model and nothing stored gives it: not recomputable, unless
`deep_claims` runs the model again.
"""

import csv
import io
from collections.abc import Callable, Iterator

from safetensors.torch import load_file

from ctsft.data.task import Example, rows_hash
from ctsft.jobs.requests import FinetuneRequest, ScoreRequest
from ctsft.jobs.tuning_rows import training_rows
from ctsft.receipts.claims import Claim, Value, same
from ctsft.receipts.derivations import counted, share_of_ones
from ctsft.receipts.evidence import Evidence, NotRecomputable, StoredRun
from ctsft.runs.damage import damage
from ctsft.utils.errors import UserError
from ctsft.utils.json_files import parse_json, read_regular

Rule = Callable[[StoredRun, dict], Iterator[tuple[str, Callable[[], Value]]]]
MEASURED = "measured by the model, and no answers that it is made of are stored"


def run_claims(evidence: Evidence, run_id: str) -> list[Claim]:
    """All claims of a run folder."""
    run = evidence.run(run_id)
    claims = [Claim(f"{run_id}: readable", "", lambda: damage(run.run), structural=True)]
    try:
        request = run.request
    except NotRecomputable as error:
        return [*claims, Claim(f"{run_id}: request", "", fail(ValueError(error)), True)]
    claims += list(fact_claims(run))
    try:
        done = run.result
    except NotRecomputable:
        done = {}
    rules = dict(RULES.get(request.kind, no_rules)(run, done))
    for path, value in leaves(done):
        if path.startswith("answered/") or not is_figure(value):
            continue
        recompute = (
            rules.pop(path, None) or common_rule(run, path) or fail(NotRecomputable(MEASURED))
        )
        claims.append(Claim(f"{run_id}/result.json#/{path}", value, recompute))
    claims += list(event_claims(run))
    if isinstance(request, FinetuneRequest):
        claims += list(answered_claims(run, done))
        claims += list(circuit_claims(evidence, run))
    if isinstance(request, ScoreRequest):
        claims += list(score_claims(run))
    return claims


def fail(error: Exception) -> Callable[[], Value]:
    def recompute() -> Value:
        raise error

    return recompute


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


def event_claims(run: StoredRun) -> Iterator[Claim]:
    """The rows of events.jsonl, and that the history of result.json is the same."""
    if run.request.kind != "finetune":
        return
    for row in run.evaluations:
        where = f"{run.id}/events.jsonl#step={row['step']}"
        rules = dict(history_rules(run, "row", row, run.request.tuning.eval_split))
        for path, value in leaves({"row": row}):
            name = path.removeprefix("row/")
            if is_figure(value) and path in rules and name.startswith(("metrics/", "accuracy/")):
                yield Claim(f"{where}/{name}", value, rules[path])
    try:
        history = run.result.get("history")
    except NotRecomputable:
        return
    if history:
        yield Claim(
            f"{run.id}: history of result.json",
            [without_time(row) for row in history],
            lambda: [without_time(row) for row in run.evaluations],
            structural=True,
        )


def without_time(row: dict) -> dict:
    return {name: value for name, value in row.items() if name not in ("time", "kind")}


def answered_claims(run: StoredRun, done: dict) -> Iterator[Claim]:
    """Which rows were answered: their ids and hash, against the rows of the task."""
    answered = done.get("answered") or {"rows": {}}
    for language, rows in answered["rows"].items():
        where = f"{run.id}/result.json#/answered/rows/{language}"
        split = answered["split"]
        yield Claim(
            f"{where}/ids",
            rows["ids"],
            lambda language=language, split=split: [row.id for row in run.rows(language, split)],
        )
        yield Claim(
            f"{where}/hash",
            rows["hash"],
            lambda language=language, split=split: rows_hash(run.rows(language, split)),
        )


def fact_claims(run: StoredRun) -> Iterator[Claim]:
    """Fingerprints of the rows, against the task's rows."""
    for name, digest in run.request.facts.data_fingerprints.items():
        where = f"{run.id}/request.json#/facts/data_fingerprints/{name}"
        yield Claim(where, digest, lambda name=name: rows_hash(rows_named(run, name)))


def rows_named(run: StoredRun, name: str) -> list[Example]:
    """The rows that a job fingerprinted under a name."""
    request = run.request
    if request.kind == "finetune":
        if name == "train":
            return train_rows(run)
        if name in run.task.languages:
            return run.rows(name, request.tuning.eval_split)
    if name == "pool" and run.run.file("pool.json").is_file():
        return pool_rows(run)
    if name == "rows" and request.kind == "faithfulness":
        return run.rows(run.source, request.subject.split)
    raise NotRecomputable(f"how the rows {name!r} were drawn is not stored")


def pool_rows(run: StoredRun) -> list[Example]:
    """The discovery set of a run, as the task's rows with the stored ids."""
    stored = stored_pool(run)
    rows = {row.id: row for row in run.rows(run.source, run.request.subject.split)}
    if any(one["id"] not in rows for one in stored):
        raise NotRecomputable("the discovery set has rows that the task of this machine lacks")
    return [rows[one["id"]] for one in stored]


def stored_pool(run: StoredRun) -> list[dict]:
    try:
        return parse_json(read_regular(run.run.file("pool.json")))
    except (OSError, ValueError) as error:
        raise NotRecomputable(f"pool.json cannot be read ({error})") from None


def train_rows(run: StoredRun) -> list[Example]:
    request = run.request
    try:
        return training_rows(
            run.task, run.source, request.subject.split, request.tuning, request.config.seed
        )
    except UserError as error:
        raise NotRecomputable(f"needs the rows of the task: {error}") from None


def circuit_claims(evidence: Evidence, run: StoredRun) -> Iterator[Claim]:
    """The heads of a run that chose them from another run's scores, by the same rule again."""
    from ctsft.circuit.selection import select
    from ctsft.tuning.recipes import RECIPES

    tuning, recipe = run.request.tuning, RECIPES.get(run.request.tuning.what)
    if not run.run.file("circuit.json").is_file() or recipe is None:
        return

    def chosen() -> Value:
        if tuning.circuit or not tuning.scores or recipe.rule in (None, "advised"):
            raise NotRecomputable("its heads were not chosen from a stored run's scores")
        draw = {"seed": run.request.scoring.seed} if recipe.rule == "random" else {}
        scores = evidence.run(tuning.scores).scores
        return sorted(select(scores, recipe.rule, k=tuning.k, **draw).heads)

    try:
        heads = sorted(run.circuit.heads)
    except NotRecomputable as error:
        yield Claim(f"{run.id}/circuit.json", "", fail(ValueError(error)), True)
        return
    yield Claim(f"{run.id}/circuit.json#/heads", heads, chosen)


def score_claims(run: StoredRun) -> Iterator[Claim]:
    """Scores in three files: the tables against the tensor of each example."""
    if not run.run.file("scores.safetensors").is_file():
        return
    try:
        scores = run.scores
    except NotRecomputable as error:
        yield Claim(f"{run.id}/scores.safetensors", "", fail(ValueError(error)), True)
        return
    yield Claim(
        f"{run.id}/scores.safetensors#labels",
        list(scores.labels),
        lambda: [row.label for row in rows_by_id(run, scores.examples)],
    )
    yield Claim(
        f"{run.id}/scores.safetensors#values",
        load_file(run.run.file("scores.safetensors"))["values"].flatten().tolist(),
        lambda: scores.values.flatten().tolist(),
        equal=lambda one, other: all(map(same, one, other)),
    )
    if run.run.file("pool.json").is_file():
        yield Claim(
            f"{run.id}/pool.json",
            [[one["id"], one["text"], one["label"]] for one in stored_pool(run)],
            lambda: [[row.id, row.text, row.label] for row in pool_rows(run)],
        )
    if not run.run.file("scores.csv").is_file():
        return
    stored = csv.DictReader(io.StringIO(read_regular(run.run.file("scores.csv")).decode()))
    again = list(csv.DictReader(io.StringIO(scores.csv())))
    for i, row in enumerate(stored):
        for name, text in row.items():
            value = number_or_text(text)
            yield Claim(
                f"{run.id}/scores.csv#row={i + 1}/{name}",
                value,
                lambda i=i, name=name: number_or_text(again[i][name]),
            )


def rows_by_id(run: StoredRun, ids: list[str]) -> list[Example]:
    rows = {row.id: row for row in run.rows(run.source, run.request.subject.split)}
    if any(one not in rows for one in ids):
        raise NotRecomputable("the task of this machine lacks some of these rows")
    return [rows[one] for one in ids]


def number_or_text(text: str | None) -> Value:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


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
