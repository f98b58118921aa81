"""No text that is held out is among the training texts of the bundled model."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "text, verdict",
    [
        ("the soup was cold, and the waiter laughed", "equal"),
        ("Honestly: the soup was cold and the waiter smiled", "near copy"),
        ("a quiet place with good bread", "kept"),
    ],
)
def test_equal_texts_and_near_copies_are_seen(text, verdict, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "assets")
    from demo_model.texts import HeldOut, Row

    held_out = HeldOut([Row("The soup was cold and the waiter laughed!", "negative")])
    assert held_out.verdict(Row(text, None)) == verdict
