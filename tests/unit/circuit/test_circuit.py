"""Selection rules on tables that one can check by eye, discovery against a literal
re-implementation, faithfulness against the oracle.
"""

import json
import math
from dataclasses import replace

import pytest
import torch

from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.circuit.circuit import LOGITS, Circuit
from ctsft.circuit.discovery import discover, iterations
from ctsft.circuit.faithfulness import Faithfulness, faithfulness, faithfulness_curve
from ctsft.circuit.selection import RULES, heads_in_fraction, select
from ctsft.data.task import Example
from oracle import naive
from support.errors import said
from support.scores import made
from support.tasks import LABELS, agreed, texts

POOL = [
    Example(str(i), text, LABELS[i % 3], {"text": text})
    for i, text in enumerate(texts(3, seed=2, longest=4))
]


TABLE = made(
    [[3.0, -4.0, 0.1], [2.0, -0.1, 3.0]], model="m", model_type="llama", n_layers=2, n_heads=3
)


EVERY = {(layer, head) for layer in range(2) for head in range(3)}


@pytest.mark.parametrize(
    ("rule", "settings", "heads"),
    [
        ("top", {"k": 1}, {(0, 0)}),
        ("top", {"k": 3}, {(0, 0), (1, 2), (1, 0)}),
        ("top", {"k": 0}, set()),
        ("top", {"fraction": 0.5}, {(0, 0), (1, 2), (1, 0)}),
        ("fraction", {"fraction": 0.49}, {(0, 0), (1, 2)}),
        ("fraction", {"fraction": 0.01}, {(0, 0)}),
        ("fraction", {"fraction": 1}, EVERY),
        ("least", {"k": 2}, {(0, 1), (1, 1)}),
        ("near_zero", {"k": 2}, {(0, 2), (1, 1)}),
        ("near_zero", {"k": 3}, {(0, 2), (1, 1), (1, 0)}),
        ("threshold", {"threshold": 2.0}, {(0, 0), (1, 2), (1, 0)}),
        ("threshold", {"threshold": 9.0}, set()),
        ("all", {}, EVERY),
        ("none", {}, set()),
    ],
)
def test_a_rule_takes_the_heads_it_says(rule, settings, heads):
    circuit = select(TABLE, rule, **settings)
    assert circuit.heads == heads == set(circuit.why) and len(circuit) == len(heads)
    assert circuit.rule == {"name": rule, **settings, "method": "cdt"}
    assert circuit.model == {"model": "m", "model_type": "llama", "n_layers": 2, "n_heads": 3}


def test_every_rule_is_tested_here():
    assert set(RULES) == {
        "threshold",
        "top",
        "fraction",
        "near_zero",
        "least",
        "random",
        "advised",
        "all",
        "none",
    }


@pytest.mark.parametrize("k", range(7))
def test_random_circuits_are_seeded_and_of_the_size_asked_for(k):
    drawn = [select(TABLE, "random", k=k, seed=seed).heads for seed in range(8)]
    assert (
        all(len(heads) == k and heads <= EVERY for heads in drawn)
        and drawn[3] == select(TABLE, "random", k=k, seed=3).heads
    )
    assert (len(set(drawn)) > 1) == (0 < k < 6)


def test_ties_go_by_layer_and_head():
    flat = made([[1.0, 1.0], [1.0, 1.0]])
    assert (
        select(flat, "top", k=2).heads == {(0, 0), (0, 1)} == select(flat, "near_zero", k=2).heads
    )
    assert select(flat, "least", k=1).heads == {(1, 1)}
    assert select(made([[1.0, 2.0], [2.0, -2.0]]), "top", k=1).heads == {(0, 1)}


@pytest.mark.parametrize(
    ("fraction", "n", "size"),
    [
        (0.02, 336, 6),
        (0.02, 12, 1),
        (0.29, 100, 29),
        (0.07, 100, 7),
        (0.0001, 5, 1),
        (1, 12, 12),
        (0.999, 12, 11),
    ],
)
def test_a_fraction_is_floored_and_at_least_one(fraction, n, size):
    assert heads_in_fraction(fraction, n) == size


def test_why_tells_rank_or_reason():
    assert select(TABLE, "top", k=2).why == {(0, 0): "rank 1 by score", (1, 2): "rank 2 by score"}
    assert "seed 5" in next(iter(select(TABLE, "random", k=1, seed=5).why.values()))


@pytest.mark.parametrize(
    ("rule", "settings", "words"),
    [
        ("best", {}, ("'best'", "threshold, top")),
        ("top", {}, ("size", "k=", "fraction=")),
        ("top", {"k": 7}, ("k is 7", "0 to 6")),
        ("top", {"k": -1}, ("k is -1",)),
        ("least", {"fraction": 0}, ("fraction is 0",)),
        ("fraction", {"fraction": 1.5}, ("fraction is 1.5",)),
        ("threshold", {}, ("threshold=",)),
        ("top", {"n": 3}, ("'n'", "k, fraction, threshold, seed")),
    ],
)
def test_wrong_settings_of_a_rule_are_refused(rule, settings, words):
    said(lambda: select(TABLE, rule, **settings), *words)


def test_heads_put_in_and_taken_out_by_hand():
    circuit = select(TABLE, "top", k=2)
    edited = circuit.edit(added=[(0, 1), (0, 0)], removed=[(1, 2), (1, 1)])
    assert edited.heads == {(0, 0), (0, 1)} and (edited.added, edited.removed) == (
        {(0, 1)},
        {(1, 2)},
    )
    assert (
        edited.why == {(0, 0): "rank 1 by score", (0, 1): "added by hand"}
        and edited.rule == circuit.rule
    )
    assert (
        circuit.heads == {(0, 0), (1, 2)}
        and (0, 1) in edited
        and [0, 1] in edited
        and (1, 2) not in edited
    )


def test_a_circuit_survives_saving(tmp_path):
    circuit = replace(
        select(TABLE, "top", k=3), edges=(((0, 0), (1, 2), -0.25), ((1, 2), LOGITS, 3.0))
    ).edit(added=[(0, 1)], removed=[(1, 0)])
    circuit.save(tmp_path / "circuit.json")
    again = Circuit.load(tmp_path / "circuit.json")
    assert vars(again) == vars(circuit) and len(again.edges) == 2
    assert json.loads((tmp_path / "circuit.json").read_text())["heads"][0] == {
        "layer": 0,
        "head": 0,
        "why": "rank 1 by score",
    }
    assert Circuit.parse('{"heads": [{"layer": 1, "head": 2}]}').heads == {(1, 2)}


@pytest.mark.parametrize(
    "text",
    [
        '{"heads": [], "edges": [{"from": [0], "to": "logits", "relevance": 1}]}',
        '{"heads": [], "edges": [{"from": [0, 1], "to": "sky", "relevance": 1}]}',
        "",
        "[]",
        "{}",
        '{"heads": [[0, 1]]}',
        '{"heads": [{"layer": 0}]}',
        '{"heads": [{"layer": "a", "head": 0}]}',
        '{"heads": 3}',
    ],
)
def test_what_is_no_circuit_is_refused(tmp_path, text):
    (tmp_path / "circuit.json").write_text(text)
    said(
        lambda: Circuit.load(tmp_path / "circuit.json"), "circuit.json is not a circuit", '"heads"'
    )
    said(lambda: Circuit.load(tmp_path / "none.json"), "none.json", "cannot be read")


def test_another_models_circuit_is_refused(loaded, task):
    model = loaded["qwen2"]
    circuit = select(
        score_heads(model, task, POOL, label_balanced_means(model, task, POOL), "atp"), "top", k=3
    )
    assert circuit.check(model) is circuit
    said(
        lambda: circuit.check(loaded["llama"]),
        "model_type",
        "'qwen2'",
        "'llama'",
        circuit.model["model"],
    )
    said(lambda: select(TABLE, "all").check(loaded["llama"]), "n_layers is 2", "3")
    said(lambda: Circuit(frozenset({(0, 0), (3, 1)})).check(model), "L3.H1", "3 layers of 4 heads")
    said(lambda: Circuit(frozenset({(0, 0), (1, 4)})).check(model), "L1.H4")
    said(
        lambda: faithfulness(
            model,
            task,
            Circuit(frozenset({(0, -1)})),
            POOL,
            label_balanced_means(model, task, POOL),
        ),
        "L0.H-1",
    )


def literal_discovery(model, task, pool, mu, depth, size):
    """Section 6 word for word, on the oracle. Returns the heads of each iteration."""
    labels, groups = task.label_ids(model), []
    tokens = list(labels.values())
    encoded = [(task.encode(model, row), labels[row.label]) for row in pool]
    for step in range(depth + 1):
        scores = {}
        for head in model.heads:
            if any(head in group for group in groups):
                continue
            if step == 0:
                of = [
                    naive.relevance(model.hf, ids, gold, tokens, *head, mu[head])
                    for ids, gold in encoded
                ]
            elif head[0] < max(layer for layer, _ in groups[-1]):
                of = [
                    naive.head_target_relevance(
                        model.hf, ids, gold, tokens, head, groups[-1], mu[head]
                    )
                    for ids, gold in encoded
                ]
            else:
                continue
            scores[head] = sum(of) / len(of)
        if not scores:
            break
        groups.append(sorted(scores, key=lambda head: (-scores[head], head))[:size])
    return groups


@pytest.mark.parametrize(("family", "fraction", "size"), [("qwen2", 0.17, 2), ("gpt2", 0.02, 1)])
def test_discovery_is_the_literal_one(loaded, task, family, fraction, size):
    model = loaded[family]
    means = label_balanced_means(model, task, POOL)
    theirs, progress = literal_discovery(model, task, POOL, means.values.double(), 2, size), []
    steps = list(
        iterations(model, task, POOL, means, 2, fraction, progress=lambda *at: progress.append(at))
    )
    assert len(theirs) >= 2 and len(steps) == len(theirs)
    for depth, (circuit, scores) in enumerate(steps):
        assert circuit.heads == {head for group in theirs[: depth + 1] for head in group}
        assert circuit == discover(model, task, POOL, means, depth, fraction)
        assert (
            scores.config.targets == (tuple(sorted(theirs[depth - 1])) if depth else ())
            and circuit.rule["depth"] == depth
        )
        for rank, head in enumerate(theirs[depth]):
            aim = f"the heads of iteration {depth - 1}" if depth else "the logits"
            assert circuit.why[head].startswith(f"iteration {depth}: rank {rank + 1} for {aim}")
    done = [at for at, _ in progress]
    assert done == sorted(done) and {total for _, total in progress} == {3}


def test_discovery_ends_when_no_earlier_layer_is_left(loaded, task, monkeypatch):
    """Kept heads of layer 0 have nothing before them."""
    from ctsft.circuit import discovery as module

    monkeypatch.setattr(module, "score_heads", lambda *_, **config: made([[3.0, 2.0], [1.0, 0.0]]))
    steps = list(iterations(loaded["gpt2"], task, POOL, None, 5, 0.1))
    assert [circuit.heads for circuit, _ in steps] == [{(0, 0)}]


def test_later_iterations_look_in_earlier_layers_only(loaded, task):
    model = loaded["llama"]
    means = label_balanced_means(model, task, POOL)
    (first, _), (second, scores) = list(iterations(model, task, POOL, means, 1, 0.1))
    last = max(layer for layer, _ in first.heads)
    assert first.heads < second.heads and all(
        layer < last for layer, _ in second.heads - first.heads
    )
    assert torch.isnan(scores.values[last:]).all() and torch.isfinite(scores.values[:last]).all()


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_an_edge_is_the_naive_relevance_for_its_one_target(loaded, task, family):
    model = loaded[family]
    means, labels = label_balanced_means(model, task, POOL), task.label_ids(model)
    *_, (circuit, scores) = iterations(model, task, POOL, means, 2, 0.17)
    first_heads = [head for head in circuit.why if circuit.why[head].startswith("iteration 0")]
    assert {
        source: relevance for source, target, relevance in circuit.edges if target == LOGITS
    }.keys() == set(first_heads)
    between = [edge for edge in circuit.edges if edge[1] != LOGITS]
    assert len(between) >= 2 and {source for source, _, _ in circuit.edges} == circuit.heads
    for source, target, relevance in between:
        theirs = [
            naive.head_target_relevance(
                model.hf,
                task.encode(model, row),
                labels[row.label],
                list(labels.values()),
                source,
                [target],
                means.values[source].double(),
            )
            for row in POOL
        ]
        assert (
            relevance == pytest.approx(sum(theirs) / len(theirs), abs=1e-4)
            and source[0] < target[0]
        )
    for head in scores.ranking()[:1]:
        # over all targets of its iteration, the mean is the head's score
        if head in circuit.heads and scores.config.targets:
            outgoing = [relevance for source, _, relevance in between if source == head]
            assert sum(outgoing) / len(scores.config.targets) == pytest.approx(
                scores.values[head].item(), abs=1e-5
            )


def test_a_head_taken_out_by_hand_keeps_its_edges_in_the_file(tmp_path):
    circuit = replace(select(TABLE, "top", k=2), edges=(((0, 0), (1, 2), 0.5),))
    assert (
        circuit.edit(removed=[(1, 2)]).edges
        == circuit.edges
        == circuit.edit(removed=[(1, 2)]).edit(added=[(1, 2)]).edges
    )


@pytest.mark.parametrize(
    ("depth", "fraction", "words"),
    [(-1, 0.1, "depth is -1"), (0, 0, "fraction is 0"), (0, 1.1, "fraction is 1.1")],
)
def test_wrong_settings_of_discovery_are_refused(loaded, task, depth, fraction, words):
    said(
        lambda: discover(
            loaded["gpt2"],
            task,
            POOL,
            label_balanced_means(loaded["gpt2"], task, POOL),
            depth,
            fraction,
        ),
        words,
    )


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
