"""Scores by position against the head view of each text, and what is refused."""

import csv
import io
import json
import math

import pytest
import torch

from ctsft.attribution.head_view import view_head
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.position_scores import PositionScores
from ctsft.attribution.score_heads import score_heads
from ctsft.data.task import Example
from ctsft.model.loading import wrap
from ctsft.plots import position_map
from ctsft.utils.errors import UserError
from support.tasks import agreed
from support.tiny import tiny


@pytest.fixture(scope="module")
def known(loaded, task):
    model = loaded["qwen2"]
    rows = agreed(model, task, 4)
    return model, rows, label_balanced_means(model, task, rows)


@pytest.mark.parametrize("method", ["cdt", "atp", "ig", "ablation"])
def test_they_are_those_of_the_head_on_each_text(known, task, method):
    model, rows, means = known
    heads = [(1, 2), (0, 0)]
    scores = score_heads(model, task, rows, means, method, positions="each", heads=heads)
    by_position = scores.by_position
    assert by_position.heads == heads and by_position.offsets[-1] == 0
    for number, row in enumerate(rows):
        for place, head in enumerate(heads):
            view = view_head(model, task, row, means, head, method, positions="all")
            here = by_position.on_text(number)[place]
            assert len(here) == len(by_position.tokens[number]) == len(view.pieces)
            assert torch.allclose(here, view.relevance, atol=1e-5) and here.abs().max() > 1e-4
    assert torch.equal(
        scores.values, score_heads(model, task, rows, means, method, positions="all").values
    )


def test_texts_are_aligned_at_the_readout(known, task):
    """Means by hand, at the readout and at the first token of the longest text."""
    model, rows, means = known
    by_position = score_heads(model, task, rows, means, "atp", positions="each", k=3).by_position
    lengths = [len(tokens) for tokens in by_position.tokens]
    assert len(set(lengths)) > 1 and by_position.offsets == list(range(1 - max(lengths), 1))
    last = torch.stack([by_position.on_text(i)[:, -1] for i in range(len(rows))])
    assert torch.allclose(by_position.values[:, -1], last.mean(0), atol=1e-6)
    assert torch.allclose(by_position.stderr[:, -1], last.std(0) / len(rows) ** 0.5, atol=1e-6)
    assert by_position.counts.tolist() == [
        sum(length > -offset for length in lengths) for offset in by_position.offsets
    ]
    table = list(csv.DictReader(io.StringIO(by_position.csv())))
    assert len(table) == 3 * max(lengths)
    json.dumps(by_position.row(), allow_nan=False)


def test_the_first_heads_are_taken_where_none_are_named(known, task):
    model, rows, means = known
    scores = score_heads(model, task, rows, means, "atp", positions="each", k=2)
    assert scores.by_position.heads == scores.ranking()[:2]


def test_parts_of_attribution_patching_add_up_to_the_score(known, task):
    model, rows, means = known
    scores = score_heads(model, task, rows, means, "atp", positions="each", k=4)
    for place, (layer, head) in enumerate(scores.by_position.heads):
        parts = [scores.by_position.on_text(i)[place].sum().item() for i in range(len(rows))]
        assert math.isclose(
            sum(parts) / len(parts), scores.values[layer, head].item(), rel_tol=1e-3, abs_tol=1e-5
        )


def test_a_classifier_reads_at_its_first_token(tokenizer, task, tmp_path):
    model = wrap(tiny("bert", kind="classes", vocab_size=len(tokenizer)), tokenizer, "bert")
    texts = ("good tea", "the road was very bad", "a plain house")
    rows = [Example(str(i), text, task.labels[i]) for i, text in enumerate(texts)]
    means = label_balanced_means(model, task, rows)
    by_position = score_heads(model, task, rows, means, "atp", positions="each", k=1).by_position
    assert by_position.offsets[0] == 0 and by_position.counts[0] == 3
    path = tmp_path / "positions.json"
    path.write_text(json.dumps(by_position.row()))
    assert torch.equal(PositionScores.load(path).counts, by_position.counts)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"heads": [(9, 0)]}, "L9.H0 is not a head of"),
        ({"heads": []}, "No head is named"),
        ({"score": "magnitude"}, "leave out head targets, magnitude"),
        ({"targets": ((2, 0),)}, "leave out head targets, magnitude"),
    ],
)
def test_what_has_no_meaning_is_refused(known, task, settings, said):
    model, rows, means = known
    with pytest.raises(UserError, match=said):
        score_heads(model, task, rows, means, "cdt", positions="each", **settings)


def test_a_file_holds_them_and_another_one_is_refused(known, task, tmp_path):
    model, rows, means = known
    scores = score_heads(model, task, rows, means, "atp", positions="each", k=2).by_position
    path = tmp_path / "positions.json"
    path.write_text(json.dumps(scores.row()))
    again = PositionScores.load(path)
    assert torch.equal(again.per_example.nan_to_num(7.0), scores.per_example.nan_to_num(7.0))
    assert (again.heads, again.offsets, again.tokens) == (
        scores.heads,
        scores.offsets,
        scores.tokens,
    )
    cut = scores.row()
    cut["per_example"][0][1].pop()
    for content in (json.dumps(cut), "[]", "{", json.dumps(scores.row() | {"offsets": []})):
        path.write_text(content)
        with pytest.raises(UserError, match="score --positions each"):
            PositionScores.load(path)


def test_the_map_draws_a_text_or_the_pool(known, task):
    model, rows, means = known
    scores = score_heads(model, task, rows, means, "atp", positions="each", k=2).by_position
    text, pool = position_map(scores, 1).data[0], position_map(scores).data[0]
    assert torch.allclose(torch.tensor(text.z, dtype=torch.float32), scores.on_text(1))
    shown = scores.counts >= 2
    assert torch.allclose(torch.tensor(pool.z, dtype=torch.float32), scores.values[:, shown])
    with pytest.raises(UserError, match="There is no text"):
        position_map(scores, len(rows))
    with pytest.raises(UserError, match="position_map draws"):
        position_map([1.0])
