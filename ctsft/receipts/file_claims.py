"""The figures of a run's other files: events, answered rows, fingerprints, circuit, scores."""

import csv
import io
from collections.abc import Iterator

from safetensors.torch import load_file

from ctsft.data.task import rows_hash
from ctsft.receipts.claims import Claim, Value, fail, same
from ctsft.receipts.evidence import Evidence, NotRecomputable, StoredRun
from ctsft.receipts.run_rows import pool_rows, rows_by_id, rows_named, stored_pool
from ctsft.receipts.run_rules import history_rules, is_figure, leaves
from ctsft.utils.json_files import read_regular


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


def number_or_text(text: str | None) -> Value:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text
