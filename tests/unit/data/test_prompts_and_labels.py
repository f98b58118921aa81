"""Prompts cut to the model's length, and labels as single tokens."""

from pathlib import Path

import pytest

from ctsft.data.labels import label_token
from ctsft.data.sources import Files
from ctsft.data.task import Task
from support.errors import said
from support.tasks import LABELS, row_of
from support.tokenizers import sentence_piece


class Named:
    """All that `encode` and `label_ids` ask of a model."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer


def test_a_prompt_ends_just_before_the_label(task, tokenizer):
    row = row_of(text="very good tea")
    assert tokenizer.decode(task.encode(Named(tokenizer), row)) == "very good tea | sentiment:"
    whole = tokenizer("very good tea | sentiment: positive")["input_ids"]
    assert whole == [
        *task.encode(Named(tokenizer), row),
        task.label_ids(Named(tokenizer))["positive"],
    ]


@pytest.mark.parametrize("kind", ["byte", "sentencepiece"])
@pytest.mark.parametrize("length", [24, 25, 128])
def test_a_long_text_is_cut_and_the_tail_stays(tokenizer, kind, length):
    model = Named(tokenizer if kind == "byte" else sentence_piece())
    task = Task("t", "{text} | sentiment:", LABELS, "a", (), Files(Path(), ""), max_length=length)
    row = row_of(text="rain and sun " * 100)
    ids, uncut = task.encode(model, row), model.tokenizer(task.text(row))["input_ids"]
    tail = model.tokenizer(" | sentiment:", add_special_tokens=False)["input_ids"][-3:]
    # a word more would not have fitted
    assert len(uncut) > 300 and length - 12 <= len(ids) <= length
    assert ids[-3:] == tail and ids[:8] == uncut[:8]
    if kind == "sentencepiece":
        assert ids[0] == model.tokenizer.bos_token_id
    short = row_of(text="rain")
    assert task.encode(model, short) == model.tokenizer("rain | sentiment:")["input_ids"]


def test_every_column_of_a_long_prompt_is_cut(tokenizer):
    model = Named(tokenizer)
    task = Task(
        "t",
        "Premise: {premise} Hypothesis: {hypothesis} Label:",
        LABELS,
        "a",
        (),
        Files(Path(), ""),
        max_length=60,
    )
    ids = task.encode(model, row_of(premise="rain " * 200, hypothesis="the sun"))
    text = tokenizer.decode(ids)
    assert (
        len(ids) <= 60
        and text.startswith("Premise: rain rain")
        and text.endswith(" Hypothesis: the sun Label:")
    )
    too_small = Task(
        "t",
        "Premise: {premise} Hypothesis: {hypothesis} Label:",
        LABELS,
        "a",
        (),
        Files(Path(), ""),
        max_length=5,
    )
    said(
        lambda: too_small.encode(model, row_of(premise="a", hypothesis="b")),
        "the 5 allowed",
        "shorten",
    )


def test_labels_are_one_token_with_their_space(task, tokenizer):
    ids = task.label_ids(Named(tokenizer))
    assert list(ids) == list(LABELS) and tokenizer.convert_ids_to_tokens(list(ids.values())) == [
        "Ġ" + label for label in LABELS
    ]


def test_sentencepiece_labels_are_the_token_that_begins_with_the_space(task):
    tokenizer = sentence_piece()
    # the trap: two tokens with the space, one without
    assert tokenizer.tokenize(" good") == ["▁", "▁good"]
    assert tokenizer.convert_ids_to_tokens(list(task.label_ids(Named(tokenizer)).values())) == [
        "▁" + label for label in LABELS
    ]


@pytest.mark.parametrize(
    ("kind", "label", "words"),
    [
        ("byte", "awful", ("'awful'", "'Ġa', 'w', 'f'")),
        ("byte", "good tea", ("2 token(s)", "'Ġgood', 'Ġtea'")),
        ("sentencepiece", "dire", ("'▁'", "'d'")),
        ("sentencepiece", "Ω", ("'Ω'", "ONE known token")),
    ],
)
def test_a_label_of_several_tokens_is_refused_naming_them(tokenizer, kind, label, words):
    said(lambda: label_token(tokenizer if kind == "byte" else sentence_piece(), label), *words)


def test_two_labels_that_become_one_token_are_refused(tokenizer):
    lower = sentence_piece()
    from tokenizers import normalizers

    lower.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    task = Task("t", "{text}", ("Good", "good", "bad"), "a", (), Files(Path(), ""))
    said(lambda: task.label_ids(Named(lower)), "'Good' and 'good'", "same token")
