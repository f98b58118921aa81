"""The quick look at the answers before scoring."""

import pytest

from explorer.session import computed, inputs
from explorer.session.computed import FewAnswers
from support.pages import press, receipts, texts
from support.relevance_page import opened, scored

LABELS = ("negative", "neutral", "positive")


def test_a_small_model_is_checked_at_once(view):
    app = opened(view)
    text = texts(app)
    assert "receipt: quick check" in receipts(app).lower()
    assert "A quick check:" in text and "What helps" not in text


@pytest.mark.parametrize(
    ("few", "said"),
    [
        (FewAnswers(30, 15, frozenset(LABELS[:2])), "answers positive for none of 30 texts"),
        (FewAnswers(30, 12, frozenset(LABELS)), "hardly more than guessing"),
        (FewAnswers(30, 15, frozenset(LABELS)), "15 of 30 indonesian texts are answered"),
    ],
)
def test_what_the_answers_mean_for_scoring(view, monkeypatch, few, said):
    monkeypatch.setattr(computed, "few_answers", lambda *args: few)
    app = opened(view)
    shown = texts(app) + "".join(one.value for one in app.warning)
    assert said in shown
    assert ("competence tuning (Setup)" in shown) == (said[:2] != "15")


def test_a_large_model_is_checked_on_request(view, monkeypatch):
    monkeypatch.setattr(inputs, "SMALL", 0)
    app = opened(view)
    assert "A quick check:" not in texts(app)
    assert "A quick check:" in texts(press(app, "Check the answers first (30 texts)"))


def test_scored_heads_need_no_check(view):
    scored(view)
    assert "A quick check:" not in texts(opened(view))
