"""Discovery against a literal re-implementation."""

import pytest
import torch

from ctsft.attribution.means import label_balanced_means
from ctsft.circuit.circuit import LOGITS
from ctsft.circuit.discovery import discover, iterations
from oracle import naive
from support.errors import said
from support.scores import made
from support.tasks import examples

POOL = examples(3, seed=2, longest=4)


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
