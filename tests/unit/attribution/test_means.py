"""Label-balanced means against the literal ones, and the discovery set."""

import collections
import dataclasses

import pytest
import torch

from ctsft.attribution import means as module
from ctsft.attribution.means import Means, label_balanced_means
from ctsft.attribution.pool import discovery_set
from ctsft.data.task import Example
from ctsft.model.batching import batches
from ctsft.model.evaluation import predict
from oracle import naive
from support.errors import said
from support.models import FAMILIES
from support.tasks import LABELS, agreed, texts

# counts 4, 2, 2
POOL = [
    Example(str(i), text, LABELS[min(i, 6) % 3], {"text": text})
    for i, text in enumerate(texts(8, seed=5))
]


@pytest.mark.parametrize("positions", ["all", "readout"])
@pytest.mark.parametrize("family", FAMILIES)
def test_means_are_the_literal_ones(loaded, task, family, positions, monkeypatch):
    """Padded together, with unequal counts; the plain mean over examples and a mean over padding
    are another (the control).
    """
    monkeypatch.setattr(
        module,
        "forward_batches",
        lambda model, encoded, **_: batches(model, encoded, 10**6, padding=0.9),
    )
    model = loaded[family]
    means = label_balanced_means(model, task, POOL, positions)
    encoded = [task.encode(model, row) for row in POOL]
    balanced, by_label = naive.label_balanced_means(
        model.hf, encoded, [row.label for row in POOL], positions
    )
    assert (
        means.counts
        == {"negative": 4, "neutral": 2, "positive": 2}
        == dict(collections.Counter(row.label for row in POOL))
    )
    assert means.values.shape == (3, 4, 8) and (means.values - balanced).abs().max() < 1e-5
    for label in LABELS:
        assert (means.by_label[label] - by_label[label]).abs().max() < 1e-5
    plain = naive.label_balanced_means(model.hf, encoded, ["one label"] * len(POOL), positions)[0]
    assert (plain - balanced).abs().max() > 1e-2 and len({len(ids) for ids in encoded}) > 3


def test_progress_reaches_the_total(loaded, task):
    seen = []
    label_balanced_means(
        loaded["gpt2"], task, POOL, progress=lambda done, total: seen.append((done, total))
    )
    assert [done for done, _ in seen] == sorted({done for done, _ in seen}) and seen[-1] == (8, 8)


def test_means_survive_saving(loaded, task, tmp_path):
    means = label_balanced_means(loaded["gpt2"], task, POOL, "readout")
    means.save(tmp_path / "means.safetensors")
    again = Means.load(tmp_path / "means.safetensors")
    assert torch.equal(again.values, means.values) and (again.counts, again.positions) == (
        means.counts,
        "readout",
    )
    assert list(again.by_label) != [] and all(
        torch.equal(again.by_label[label], means.by_label[label]) for label in LABELS
    )


def test_what_means_cannot_be_taken_of(loaded, task):
    model = loaded["gpt2"]
    said(
        lambda: label_balanced_means(model, task, [row for row in POOL if row.label != "neutral"]),
        "'neutral'",
        "every label",
    )
    said(lambda: label_balanced_means(model, task, []), "'negative'")
    said(lambda: label_balanced_means(model, task, POOL, "last"), "'last'", "all, readout")


@pytest.mark.parametrize(
    ("size", "counts"), [(24, (8, 8, 8)), (50, (17, 17, 16)), (3, (1, 1, 1)), (10, (4, 3, 3))]
)
def test_a_discovery_set_is_correct_balanced_and_seeded(loaded, task, size, counts):
    model = loaded["qwen2"]
    rows = agreed(model, task, each=20)
    # must never be drawn
    wrong = [
        dataclasses.replace(row, id="w" + row.id, label=LABELS[LABELS.index(row.label) - 1])
        for row in rows
    ]
    pool = discovery_set(model, task, wrong + rows, size, seed=4)
    assert collections.Counter(row.label for row in pool) == dict(zip(LABELS, counts, strict=True))
    assert len({row.id for row in pool}) == size and not any(row.id.startswith("w") for row in pool)
    assert predict(model, task, pool) == [row.label for row in pool]
    assert discovery_set(model, task, wrong + rows, size, seed=4) == pool
    assert size == 3 or {
        row.id for row in discovery_set(model, task, wrong + rows, size, seed=5)
    } != {row.id for row in pool}


def test_too_few_correct_rows_say_how_many_there_are(loaded, task):
    model = loaded["qwen2"]
    rows = agreed(model, task, each=4)
    said(
        lambda: discovery_set(model, task, rows, 15),
        "Only 4 of the 5",
        "a discovery set of 12",
        "12 rows",
        "competence",
    )
    # the size it names does work
    assert len(discovery_set(model, task, rows, 12)) == 12
    wrong = [
        dataclasses.replace(row, label="neutral") if row.label == "positive" else row
        for row in rows
    ]
    wrong += [dataclasses.replace(rows[0], label="positive")]
    said(
        lambda: discovery_set(model, task, wrong, 3),
        "Only 0 of the 1",
        "'positive'",
        "give more rows, or tune",
    )


def test_a_label_that_the_model_never_answers_is_said_with_what_helps(loaded, task):
    model = loaded["qwen2"]
    rows = [row for row in agreed(model, task, each=4) if row.label != "positive"]
    rows += [dataclasses.replace(row, id=f"x{row.id}", label="positive") for row in rows]
    said(
        lambda: discovery_set(model, task, rows, 3),
        "answered 'positive' for none of 16 rows",
        "another prompt",
        "competence tuning",
    )


def test_a_label_without_rows_and_a_set_too_small_for_all_labels(loaded, task):
    rows = [Example("0", "good", "positive", {"text": "good"})] * 9
    said(
        lambda: discovery_set(loaded["qwen2"], task, rows, 6),
        "'negative', 'neutral'",
        "every label",
    )
    said(lambda: discovery_set(loaded["qwen2"], task, rows, 2), "at least 3")
