"""Which texts each way of tuning lost, counted by hand; the table, the file and the page."""

import csv
import io

import pytest

from ctsft.data.task import Example, rows_hash
from ctsft.runs.answers import Answers
from explorer.compare import lost_texts
from explorer.compare.lost_texts import chosen, compare_lost, table
from support.finetune_page import tuned
from support.pages import texts, visit

EXAMPLES = [Example(f"r{i}", text, "positive") for i, text in enumerate(("=1+1", "<b>", "c", "d"))]
BEFORE = "1110"


def stored(**after: str) -> dict:
    """Answers by run; "other" was measured on other rows."""
    ids, same = tuple(example.id for example in EXAMPLES), rows_hash(EXAMPLES)
    return {
        run: {"id": Answers("test", "x" if run == "other" else same, ids, BEFORE, right)}
        for run, right in after.items()
    }


ANSWERS = stored(a="0011", b="0110", full="0001", other="0000")
GROUPS = {
    name: [{"run": run, "source": "id"} for run in of]
    for name, of in {"Circuit": ["a", "b"], "@all": ["full"], "Other": ["other"]}.items()
}


@pytest.fixture
def lost():
    return compare_lost(GROUPS, "source", ANSWERS.get, lambda row, answered: EXAMPLES)


def test_texts_are_listed_with_the_seeds_that_lost_them_the_most_lost_first(lost):
    assert lost.ways == {"Circuit": 2, "@all": 1}, "other rows are not compared"
    assert [(one.id, one.lost) for one in lost.texts] == [
        ("r0", (2, 1)),
        ("r1", (1, 1)),
        ("r2", (0, 1)),
    ]
    assert table(lost, lost.texts)[1] == {
        "text": "<b>",
        "label": "positive",
        "Circuit": "✗ 1 of 2",
        "@all": "✗",
    }
    assert table(lost, lost.texts)[2]["Circuit"] == "✓"


def test_lost_by_all_and_by_one_go_by_most_seeds(lost):
    assert [one.id for one in chosen(lost, "any")] == ["r0", "r1", "r2"]
    assert [one.id for one in chosen(lost, "all")] == ["r0"]
    assert [one.id for one in chosen(lost, "one")] == ["r1", "r2"], "one of two seeds is not most"


def test_the_file_holds_no_formula(lost):
    first, *lines = csv.reader(io.StringIO(lost_texts.csv(lost, lost.texts)))
    assert first == ["id", "label", "text", "lost by Circuit (of 2)", "lost by @all (of 1)"]
    assert lines[0] == ["r0", "positive", "'=1+1", "2", "1"]


@pytest.mark.parametrize("examples", [[], EXAMPLES[:3], [*EXAMPLES[:3], Example("r3", "x", "y")]])
def test_rows_that_are_missing_or_changed_leave_the_ids(examples):
    comparison = compare_lost(GROUPS, "source", ANSWERS.get, lambda row, answered: examples)
    assert not comparison.readable
    assert [line["text"] for line in table(comparison, comparison.texts)] == ["r0", "r1", "r2"]


def test_runs_without_answers_have_no_lost_texts():
    assert compare_lost(GROUPS, "source", lambda run: {}, lambda *_: []) is None


def test_the_page_lists_at_most_fifty_and_follows_its_filters(view):
    tuned(view, after=(0.8, 0.7))
    tuned(view, "full", after=(0.0, 0.75))
    at = visit(view, "compare/page.py")
    assert not at.exception and "51 Indonesian texts" in texts(at)
    assert len(at.dataframe[1].value) == 50 and "The first 50 are shown" in texts(at)
    assert "their ids are shown" in texts(at)
    at.segmented_control(key="w_compare_lost_by").set_value("all").run()
    assert at.dataframe[1].value["text"].tolist() and "5 Indonesian texts" in texts(at)
    at.segmented_control(key="w_compare_lost").set_value("target").run()
    assert "Javanese texts" in texts(at) and not at.exception
