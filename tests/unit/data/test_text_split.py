"""Rows dealt to the splits by text: each label in its shares, no text on two sides."""

import random

import pytest

from ctsft.data.text_split import Rows, split_by_text


def texts_of(dealt: dict[str, list[int]], rows: Rows) -> dict[str, set[str]]:
    return {split: {rows.texts[row] for row in numbers} for split, numbers in dealt.items()}


def test_rows_are_dealt_by_label_without_loss_and_the_same_every_time():
    rows = Rows([f"tea {i}" for i in range(100)], [str(i % 2) for i in range(100)])
    dealt = split_by_text(rows)
    assert {split: len(numbers) for split, numbers in dealt.items()} == {
        "train": 70,
        "valid": 16,
        "test": 14,
    }
    assert sorted(row for numbers in dealt.values() for row in numbers) == list(range(100))
    assert all(2 * sum(row % 2 for row in numbers) == len(numbers) for numbers in dealt.values())
    assert dealt == split_by_text(rows) != split_by_text(rows, seed=1)


@pytest.mark.parametrize(
    "spellings",
    [
        ("good tea", "good tea"),
        ("good tea", "  Good\tTEA \n"),
        ("café", "cafe\u0301"),
        ("１２ teas", "12 teas"),
        ("Straße", "STRASSE"),
    ],
)
def test_spellings_of_one_text_are_in_one_split(spellings):
    """Twenty other texts between them; a split row by row parts some of the pairs (control)."""
    texts = [f"{text} {i}" for i in range(20) for text in spellings]
    rows = Rows(texts, ["a"] * 40)
    split = {row: name for name, numbers in split_by_text(rows).items() for row in numbers}
    assert all(split[2 * i] == split[2 * i + 1] for i in range(20)) and len(set(split.values())) > 1
    order = random.Random(0).sample(range(40), 40)
    alone = {row: place < 28 for place, row in enumerate(order)}
    assert any(alone[2 * i] != alone[2 * i + 1] for i in range(20))


def test_a_text_with_two_labels_is_in_one_split():
    rows = Rows(["tea", *map(str, range(30)), "Tea"], ["a", *"ab" * 15, "b"])
    assert any({0, 31} <= set(numbers) for numbers in split_by_text(rows).values())


def test_texts_that_repeat_often_leave_the_shares_as_they_are():
    texts = [f"tea {i % 50}" for i in range(200)]
    sizes = {name: len(rows) for name, rows in split_by_text(Rows(texts, ["a"] * 200)).items()}
    assert sizes == {"train": 140, "valid": 32, "test": 28}


def test_texts_of_a_given_split_go_there():
    rows = Rows([f"tea {i}" for i in range(40)], ["a"] * 40)
    given = {"test": ["TEA 3", "tea 4"], "valid": ["tea 4", "tea 5"]}
    dealt = split_by_text(rows, given)
    assert {3, 4} <= set(dealt["test"]) and 5 in dealt["valid"]
    alone = split_by_text(rows)
    assert any(row not in alone["test"] for row in (3, 4)) or 5 not in alone["valid"]
