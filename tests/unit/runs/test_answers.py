"""Answers before and after, from the summary of a run."""

import pytest

from ctsft.runs.answers import read_answers

ROWS = {"jv": {"hash": "h", "ids": ["a", "b"]}}


def summary(before="10", after="11", **more) -> dict:
    history = [{"metrics": {"jv": {"right": text}}} for text in (before, "00", after)]
    return {"answered": {"split": "valid", "rows": ROWS}, "history": history} | more


def test_the_first_and_the_last_evaluation_or_the_final_figure():
    (of,) = read_answers(summary()).values()
    assert (of.split, of.ids, of.before, of.after) == ("valid", ("a", "b"), "10", "11")
    final = {"before": {"jv": {"right": "01"}}, "after": {"jv": {"right": "00"}}}
    (of,) = read_answers(summary(final=final)).values()
    assert (of.before, of.after) == ("01", "00")


@pytest.mark.parametrize(
    "lacking",
    [{}, {"history": []}, summary(after="1"), summary(before=""), summary(answered=None)],
)
def test_what_was_not_stored_is_left_out(lacking):
    assert read_answers(lacking) == {}
