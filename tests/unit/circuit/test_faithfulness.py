"""Faithfulness against the oracle."""

import math

import pytest

from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.faithfulness import Faithfulness, faithfulness, faithfulness_curve
from ctsft.circuit.selection import select
from oracle import naive
from support.errors import said
from support.tasks import agreed, examples

POOL = examples(3, seed=2, longest=4)


def literal(model, task, rows, means, heads):
    """Accuracy and mean margin with every other head at its mean, on the oracle."""
    labels, mu = task.label_ids(model), means.values.double()
    tokens, away = (
        list(labels.values()),
        {head: mu[head] for head in model.heads if head not in heads},
    )
    margins = [
        [
            naive.margin(model.hf, task.encode(model, row), gold, tokens, away).item()
            for gold in tokens
        ]
        for row in rows
    ]
    golds = [tokens.index(labels[row.label]) for row in rows]
    right = [
        max(range(3), key=margin.__getitem__) == gold
        for margin, gold in zip(margins, golds, strict=True)
    ]
    return sum(right) / len(rows), sum(
        margin[gold] for margin, gold in zip(margins, golds, strict=True)
    ) / len(rows)


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_faithfulness_is_the_oracles(loaded, task, family):
    model = loaded[family]
    rows, means = agreed(model, task, each=2), label_balanced_means(model, task, POOL)
    circuit = Circuit(frozenset({(0, 1), (1, 2), (2, 0), (2, 3)}))
    report = faithfulness(model, task, circuit, rows, means)
    raw = {
        name: literal(model, task, rows, means, heads)
        for name, heads in (("circuit", circuit.heads), ("empty", ()), ("full", model.heads))
    }
    for name, (accuracy, margin) in raw.items():
        assert report.raw[name]["accuracy"] == pytest.approx(accuracy) and report.raw[name][
            "margin"
        ] == pytest.approx(margin, abs=1e-4)
    for i, ratio in enumerate((report.accuracy, report.margin)):
        assert ratio == pytest.approx(
            (raw["circuit"][i] - raw["empty"][i]) / (raw["full"][i] - raw["empty"][i]), abs=1e-3
        )
    assert (
        report.n == 6
        and raw["full"][0] == 1
        and len({round(margin, 3) for _, margin in raw.values()}) == 3
    )


def test_every_head_is_one_and_no_head_is_zero(loaded, task):
    model = loaded["qwen2"]
    rows, means = agreed(model, task, each=3), label_balanced_means(model, task, POOL)
    full, empty = (
        faithfulness(model, task, Circuit(frozenset(heads)), rows, means)
        for heads in (model.heads, ())
    )
    assert (full.accuracy, full.margin, empty.accuracy, empty.margin) == (1, 1, 0, 0)
    said(lambda: faithfulness(model, task, Circuit(frozenset()), [], means), "no rows")


def test_faithfulness_is_nan_where_full_and_empty_agree():
    raw = {
        name: {"accuracy": 0.5, "margin": margin}
        for name, margin in (("circuit", 2.0), ("empty", 1.0), ("full", 3.0))
    }
    report = Faithfulness(raw, 2)
    assert math.isnan(report.accuracy) and report.margin == 0.5


def test_the_curve_has_a_point_a_size_and_random_ones_beside_it(loaded, task):
    model = loaded["qwen2"]
    rows, means = agreed(model, task, each=2), label_balanced_means(model, task, POOL)
    scores = score_heads(model, task, POOL, means)
    points = list(faithfulness_curve(model, task, scores, rows, means, [0, 3, 12], n_random=2))
    assert [(p["size"], p["kind"], p["seed"]) for p in points] == [
        (0, "ranked", 0),
        (3, "ranked", 0),
        (3, "random", 0),
        (3, "random", 1),
        (12, "ranked", 0),
    ]
    assert (points[0]["margin"], points[-1]["margin"]) == (0, 1)
    for point, circuit in (
        (points[1], select(scores, "top", k=3)),
        (points[3], select(scores, "random", k=3, seed=1)),
    ):
        report = faithfulness(model, task, circuit, rows, means)
        assert (point["accuracy"], point["margin"], point["raw"]) == (
            report.accuracy,
            report.margin,
            report.raw["circuit"],
        )
