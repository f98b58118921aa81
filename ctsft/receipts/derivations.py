"""How each kind of figure is computed again from stored files, and its interval.

A derivation is an operation and its arguments (`ctsft.utils.figures`). Accuracies are counted again
from right and wrong per row, changes and tests from these, scores from the scores of each example,
means and intervals from the figures of the runs. What is stored only as it was measured (such as an
area under a curve's points) is computed from what it was made of.

    accuracy(run, when, language)      gain(run), forgetting(run)    lost(run, language), won, p
    at(run, step, language)            score(run, layer, head)       mean(...), sd, low, high
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from scipy.special import ndtri

from ctsft.jobs.tuning_table import on_the_way
from ctsft.plots.faithfulness import curve_rows, curve_series
from ctsft.receipts.evidence import Evidence, NotRecomputable, StoredRun
from ctsft.runs.answers import ends
from ctsft.tuning.trainable import trainable_count
from ctsft.utils.figures import Node
from ctsft.utils.format import head_of
from ctsft.utils.paired_rows import change, right_rows
from ctsft.utils.statistics import CONFIDENCE_LEVEL, FEWEST, holm, spread

Z = float(ndtri((1 + CONFIDENCE_LEVEL) / 2))


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
        found = ends(run.result)[number]
    except NotRecomputable:
        found = {}
    if found:
        return found
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


def head_value(name: str) -> Callable[[Evidence, str, int, int], float]:
    """The mean score of a head, or its standard error, over the stored scores of each example."""

    def compute(evidence: Evidence, run_id: str, layer: int, head: int) -> float:
        return getattr(evidence.run(run_id).scores, name)[layer, head].item()

    return compute


def label_score(evidence: Evidence, run_id: str, label: str, layer: int, head: int) -> float:
    by_label = evidence.run(run_id).scores.by_label
    if label not in by_label:
        raise NotRecomputable(f"run {run_id} has no example of the label {label}")
    return by_label[label][layer, head].item()


def rank(evidence: Evidence, run_id: str, layer: int, head: int) -> float:
    return evidence.run(run_id).scores.ranking().index((layer, head)) + 1


def examples(evidence: Evidence, run_id: str) -> float:
    return len(evidence.run(run_id).scores.examples)


def trainable_with(evidence: Evidence, run_id: str, names: str) -> float:
    """The parameters that tuning some heads trains; needs the model."""
    model = evidence.model(evidence.run(run_id).request.subject.model)
    return trainable_count(model, [head_of(name) for name in names.split(",")], "group")


def parameters(evidence: Evidence, run_id: str) -> float:
    return stored_number("total")(evidence, run_id)


def kept(place: int) -> Callable[[Evidence, str, str, int, int], float]:
    """The faithfulness of a size: of the ranking (0), or the lowest, median or highest of random
    circuits (1 to 3).
    """

    def compute(evidence: Evidence, run_id: str, measure: str, size: int, n_heads: int) -> float:
        rows = curve_rows(evidence.run(run_id).run.events())
        series = curve_series(rows, measure, n_heads)
        if size not in series.sizes:
            raise NotRecomputable(f"run {run_id} did not measure {size} heads")
        values = (series.ranked, *series.band)[place]
        return values[series.sizes.index(size)]

    return compute


@lru_cache(maxsize=2_000)
def over(values: tuple[float, ...]):
    return spread(values)


def spread_part(name: str) -> Callable[..., float]:
    def compute(evidence: Evidence, *values: float) -> float:
        value = getattr(over(values), name)
        if value is None:
            raise NotRecomputable("too few values")
        return value

    return compute


def adjusted(evidence: Evidence, place: int, tests: tuple[float, ...]) -> float:
    """p of one of several tests that are shown together (Holm)."""
    return all_adjusted(tests)[place]


@lru_cache(maxsize=100)
def all_adjusted(tests: tuple[float, ...]) -> list[float]:
    return holm(tests)


Operation = Callable[..., float]
OPERATIONS: dict[str, Operation] = {
    "accuracy": accuracy,
    **{
        f"{side}_{when}": side_accuracy(side, when)
        for side in ("source", "target")
        for when in WHENS
    },
    "gain": gain,
    "forgetting": forgetting,
    "at": at,
    "source_lowest": along_the_curve("source_lowest"),
    "source_area_lost": along_the_curve("source_area_lost"),
    "seconds": seconds,
    "perplexity_before": perplexity("before"),
    "perplexity_after": perplexity("after"),
    "heads": heads,
    "trainable": trainable,
    "trainable_with": trainable_with,
    "parameters": parameters,
    "share": share,
    "lost": paired_part("lost"),
    "won": paired_part("won"),
    "p": paired_part("p"),
    "only": between_part("lost"),
    "p_between": between_part("p"),
    "rows": rows_measured,
    "score": head_value("values"),
    "stderr": head_value("stderr"),
    "label_score": label_score,
    "rank": rank,
    "examples": examples,
    "faithfulness": kept(0),
    "random_lowest": kept(1),
    "random_median": kept(2),
    "random_highest": kept(3),
    **{name: spread_part(name) for name in ("mean", "sd", "low", "high")},
    "spread_p": spread_part("p"),
    "lowest": lambda evidence, *values: min(values),
    "highest": lambda evidence, *values: max(values),
    "minus": lambda evidence, one, other: one - other,
    "negative": lambda evidence, one: -one,
    "divided": lambda evidence, one, other: one / other,
    "tests": lambda evidence, *values: values,
    "holm": adjusted,
}
# stored as the job measured them: nothing else that is stored gives them
AS_STORED = ("seconds", "perplexity_before", "perplexity_after", "parameters")


class Derivations:
    """Figures of a list of nodes, computed again from evidence, each once."""

    def __init__(self, nodes: Sequence[Node], evidence: Evidence):
        self.nodes, self.evidence = nodes, evidence
        self._values: dict[int, float] = {}

    def value(self, number: int) -> float:
        """NotRecomputable where stored files are missing, ValueError for a derivation that is
        none. A node is derived from earlier ones only.
        """
        if number not in self._values:
            node = self.nodes[number]
            if node.operation not in OPERATIONS:
                raise ValueError(f"{node.operation!r} is not a derivation")
            value = OPERATIONS[node.operation](self.evidence, *self._arguments(number))
            self._values[number] = value if isinstance(value, tuple) else float(value)
        return self._values[number]

    def runs(self, number: int) -> list[str]:
        """The ids of the runs that a figure rests on."""
        return list(dict.fromkeys(self._runs(number)))

    def _runs(self, number: int):
        node = self.nodes[number]
        for place, one in enumerate(node.arguments):
            if isinstance(one, tuple):
                yield from self._runs(one[1])
            elif isinstance(one, str) and place < RUN_ARGUMENTS.get(node.operation, 1):
                yield one

    def _arguments(self, number: int) -> list:
        given = []
        for one in self.nodes[number].arguments:
            if not isinstance(one, tuple):
                given.append(one)
            elif one[1] >= number:
                raise ValueError("a figure is derived from a later one")
            else:
                given.append(self.value(one[1]))
        return given

    def interval(self, number: int) -> str:
        """The figure's interval at 95 %, or why it has none."""
        node = self.nodes[number]
        try:
            if node.operation in ("mean", "negative") and self._of_several(number):
                low, high = self._mean_interval(number)
                return interval_text(low, high, "Student's t over runs")
            rule = INTERVALS.get(node.operation)
            if rule is None:
                return "none: " + NO_INTERVAL.get(node.operation, "computed exactly from its runs")
            return rule(self.evidence, *self._arguments(number))
        except NotRecomputable as error:
            return f"none: {error}"

    def _of_several(self, number: int) -> bool:
        node = self.nodes[number]
        if node.operation == "negative":
            inner = node.arguments[0]
            return isinstance(inner, tuple) and self._of_several(inner[1])
        return len(node.arguments) >= FEWEST

    def _mean_interval(self, number: int) -> tuple[float, float]:
        node = self.nodes[number]
        if node.operation == "negative":
            low, high = self._mean_interval(node.arguments[0][1])
            return -high, -low
        found = over(tuple(self._arguments(number)))
        return found.low, found.high


# how many of an operation's texts are ids of runs
RUN_ARGUMENTS = {"only": 2, "p_between": 2}


def interval_text(low: float, high: float, of: str) -> str:
    return f"[{low:.4f}, {high:.4f}], 95 %, {of}"


def share_interval(right: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share of n rows."""
    centre = (right + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * (right * (1 - right) / n + Z * Z / (4 * n * n)) ** 0.5 / (1 + Z * Z / n)
    return centre - half, centre + half


def accuracy_interval(evidence: Evidence, run_id: str, when: str, language: str) -> str:
    value = accuracy(evidence, run_id, when, language)
    n = rows_measured(evidence, run_id, language)
    return interval_text(*share_interval(value, int(n)), f"Wilson over {int(n)} rows")


def change_interval(evidence: Evidence, run_id: str, side: str, sign: int) -> str:
    """Of a paired difference of accuracies on the same rows (normal approximation)."""
    run = evidence.run(run_id)
    language = languages(run)[side]
    of, n = paired(run, language), rows_measured(evidence, run_id, language)
    mean = (of.won - of.lost) / n
    half = Z * max(0.0, (of.won + of.lost) / n - mean * mean) ** 0.5 / n**0.5
    low, high = sorted((sign * (mean - half), sign * (mean + half)))
    return interval_text(low, high, f"paired over {int(n)} rows, of this seed")


def side_interval(side: str, when: str) -> Callable[[Evidence, str], str]:
    def compute(evidence: Evidence, run_id: str) -> str:
        return accuracy_interval(evidence, run_id, when, languages(evidence.run(run_id))[side])

    return compute


def at_interval(evidence: Evidence, run_id: str, step: int, language: str) -> str:
    value = at(evidence, run_id, step, language)
    counts = evidence.run(run_id).result.get("rows", {})
    if not counts.get(language):
        raise NotRecomputable("the number of rows is not stored")
    n = counts[language]
    return interval_text(*share_interval(value, n), f"Wilson over {n} rows")


def score_interval(evidence: Evidence, run_id: str, layer: int, head: int) -> str:
    mean, error = (head_value(name)(evidence, run_id, layer, head) for name in ("values", "stderr"))
    return interval_text(mean - Z * error, mean + Z * error, "standard error over the examples")


INTERVALS: dict[str, Callable[..., str]] = {
    "accuracy": accuracy_interval,
    **{
        f"{side}_{when}": side_interval(side, when)
        for side in ("source", "target")
        for when in WHENS
    },
    "gain": lambda evidence, run_id: change_interval(evidence, run_id, "target", 1),
    "forgetting": lambda evidence, run_id: change_interval(evidence, run_id, "source", -1),
    "at": at_interval,
    "score": score_interval,
}
NO_INTERVAL = {
    "mean": "fewer than three runs",
    "sd": "a deviation, which belongs to its mean",
    "low": "an end of an interval",
    "high": "an end of an interval",
    "minus": "the figures it is made of have theirs",
    "seconds": "one measured time",
    "faithfulness": "one circuit; random circuits of the same size stand beside it",
    "p": "a p value",
    "holm": "a p value, adjusted for all tests that are shown together",
    "spread_p": "a p value",
}
