"""Texts lost and won, counted by hand."""

from ctsft.runs.answers import Answers
from explorer.compare.forgotten import texts_lost

ROW = {"source": "id", "target": "jv"}


def of(before: str, after: str, rows: str = "h") -> Answers:
    return Answers("test", rows, tuple("abcd"), before, after)


def test_lost_texts_are_counted_and_shared_ones_on_the_same_rows_only():
    same = of("0011", "1110")
    stored = {
        "a": {"id": of("1110", "0011"), "jv": same},
        "b": {"id": of("1110", "0110"), "jv": same},
        "c": {"id": of("1110", "0000", "other rows"), "jv": same},
        "d": {},
    }
    rows = [ROW | {"run": run} for run in "abcd"]
    lost = texts_lost(rows, list("ABCD"), stored.get)
    assert lost["run"].tolist() == ["A", "B", "C"], "d stored no answers"
    assert lost["source lost"].tolist() == [2, 1, 3]
    assert lost["source won"].tolist() == [1, 0, 0]
    assert lost["lost by others too"].tolist()[:2] == [1, 1]
    assert lost["lost by others too"].isna().tolist() == [False, False, True]
    assert (lost["target lost"] == 1).all() and (lost["target won"] == 2).all()
    assert texts_lost(rows[3:], ["D"], stored.get).empty
