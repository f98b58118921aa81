"""Figures of a tuning run, computed again from its stored files: accuracies from right and wrong
per row, changes and tests from these, and what was trained. What is stored only as it was measured
is compared as it is.
"""

from collections.abc import Callable

from ctsft.jobs.tuning_table import on_the_way
from ctsft.receipts.evidence import Evidence, NotRecomputable, StoredRun
from ctsft.runs.answers import ends
from ctsft.utils.paired_rows import change, right_rows


def share_of_ones(right: str) -> float:
    return float(right_rows(right).mean())


def counted(metrics: dict) -> float:
    """The accuracy of stored metrics, counted again where right and wrong are stored."""
    right = metrics.get("right", "")
    if right:
        return share_of_ones(right)
    if metrics.get("accuracy") is None:
        raise NotRecomputable("it was not measured")
    raise NotRecomputable("which rows were right is not stored; `--deep` runs the model again")


def accuracy(evidence: Evidence, run_id: str, when: str, language: str) -> float:
    """Before or after tuning."""
    run = evidence.run(run_id)
    end = stored_end(run, when)
    if language not in end:
        raise NotRecomputable(f"run {run_id} did not measure {language}")
    return counted(end[language])


def stored_end(run: StoredRun, when: str) -> dict:
    """{language: metrics} before or after tuning; of the events while there is no result."""
    number = ("before", "after").index(when)
    try:
        metrics = ends(run.result)[number]
    except NotRecomputable:
        metrics = {}
    if metrics:
        return metrics
    if not run.evaluations:
        raise NotRecomputable(f"run {run.id} has no evaluation")
    row = run.evaluations[-number]
    return row.get("metrics") or {
        name: {"accuracy": value} for name, value in row["accuracy"].items()
    }


def languages(run: StoredRun) -> dict[str, str]:
    return {"source": run.source, "target": run.request.tuning.target}


def side_accuracy(side: str, when: str) -> Callable[[Evidence, str], float]:
    def compute(evidence: Evidence, run_id: str) -> float:
        return accuracy(evidence, run_id, when, languages(evidence.run(run_id))[side])

    return compute


def gain(evidence: Evidence, run_id: str) -> float:
    before, after = (side_accuracy("target", when)(evidence, run_id) for when in WHENS)
    return after - before


def forgetting(evidence: Evidence, run_id: str) -> float:
    before, after = (side_accuracy("source", when)(evidence, run_id) for when in WHENS)
    return before - after


WHENS = ("before", "after")


def at(evidence: Evidence, run_id: str, step: int, language: str) -> float:
    """A point of a curve."""
    for row in evidence.run(run_id).evaluations:
        if row["step"] == step and language in row["accuracy"]:
            metrics = (row.get("metrics") or {}).get(language)
            return counted(metrics or {"accuracy": row["accuracy"][language]})
    raise NotRecomputable(f"run {run_id} has no evaluation of {language} at step {step}")


def counted_curve(evidence: Evidence, run_id: str) -> list[dict]:
    """The curve of the source, each point counted again."""
    run = evidence.run(run_id)
    source = run.source
    return [
        {"step": row["step"], "accuracy": {source: at(evidence, run_id, row["step"], source)}}
        for row in run.evaluations
    ]


def along_the_curve(name: str) -> Callable[[Evidence, str], float]:
    def compute(evidence: Evidence, run_id: str) -> float:
        value = on_the_way(counted_curve(evidence, run_id), evidence.run(run_id).source)[name]
        if value is None:
            raise NotRecomputable(f"run {run_id} has too few evaluations")
        return value

    return compute


def stored_number(*path: str) -> Callable[[Evidence, str], float]:
    """A number that the job measured and that nothing stored is made of: compared as it is."""

    def compute(evidence: Evidence, run_id: str) -> float:
        value: object = evidence.run(run_id).result
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, int | float):
            raise NotRecomputable(f"run {run_id} has no {'/'.join(path)}")
        return value

    return compute


def seconds(evidence: Evidence, run_id: str) -> float:
    rows = evidence.run(run_id).evaluations
    if not rows or rows[-1].get("seconds") is None:
        raise NotRecomputable(f"run {run_id} has no time")
    return rows[-1]["seconds"]


def perplexity(when: str) -> Callable[[Evidence, str], float]:
    def compute(evidence: Evidence, run_id: str) -> float:
        rows = [row for row in evidence.run(run_id).evaluations if row.get("perplexity")]
        if not rows:
            raise NotRecomputable(f"run {run_id} measured no perplexity")
        row = rows[0] if when == "before" else rows[-1]
        return next(iter(row["perplexity"].values()))["perplexity"]

    return compute


def heads(evidence: Evidence, run_id: str) -> float:
    run = evidence.run(run_id)
    if run.run.file("circuit.json").is_file():
        return len(run.circuit)
    return stored_number("heads")(evidence, run_id)


def trainable(evidence: Evidence, run_id: str) -> float:
    """What was trained is what does not stand outside of it."""
    done = evidence.run(run_id).result
    outside = done.get("outside")
    if outside and done.get("total") and not done.get("what", "").startswith("lora"):
        return done["total"] - outside["parameters"]
    return stored_number("trainable")(evidence, run_id)


def share(evidence: Evidence, run_id: str) -> float:
    total = stored_number("total")(evidence, run_id)
    return trainable(evidence, run_id) / total


def paired(run: StoredRun, language: str):
    if language not in run.answers:
        raise NotRecomputable(f"which rows run {run.id} had right is not stored")
    return change(run.answers[language].before, run.answers[language].after)


def paired_part(name: str) -> Callable[[Evidence, str, str], float]:
    def compute(evidence: Evidence, run_id: str, language: str) -> float:
        return getattr(paired(evidence.run(run_id), language), name)

    return compute


def between_part(name: str) -> Callable[[Evidence, str, str, str], float]:
    """Of two runs after tuning, on the same rows."""

    def compute(evidence: Evidence, one: str, other: str, language: str) -> float:
        first, second = (evidence.run(run_id).answers.get(language) for run_id in (one, other))
        if first is None or second is None or first.hash != second.hash:
            raise NotRecomputable(f"runs {one} and {other} have no answers to the same rows")
        return getattr(change(first.after, second.after), name)

    return compute


def rows_measured(evidence: Evidence, run_id: str, language: str) -> float:
    run = evidence.run(run_id)
    if language in run.answers:
        return len(run.answers[language].ids)
    return stored_number("rows", language)(evidence, run_id)


def parameters(evidence: Evidence, run_id: str) -> float:
    return stored_number("total")(evidence, run_id)
