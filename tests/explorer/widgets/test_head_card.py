"""The card of the selected head: pins, notes, and the keys' message."""

import json

import pytest

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.runs.notes import read_note
from ctsft.utils.errors import UserError
from explorer.session import head_notes, own_runs
from explorer.session.view import View
from support.finetune_page import score
from support.pages import button, charts, press, shown, texts, visit

HEAD = (2, 3)  # the highest-scoring one


@pytest.fixture
def view(finetune_view) -> View:
    return finetune_view


def pinned_bars(at) -> list[list[float]]:
    """The ranges of the bars in the cards."""
    return [
        chart["layout"]["xaxis"]["range"]
        for chart in charts(at)
        if "range" in chart["layout"]["xaxis"] and len(chart["data"]) == 3
    ]


@pytest.mark.parametrize("page", ["relevance", "circuit"])
def test_pinned_heads_stand_side_by_side_on_one_scale(view, page):
    score(view)
    at = press(shown(visit(view, f"{page}/page.py")), "Pin")
    assert at.session_state["view"].pinned == ["2.3"] and len(pinned_bars(at)) == 1
    for head in ((0, 1), (1, 0)):
        at = shown(at.selectbox(key="w_head").set_value(head).run())
        at = press(at, "Pin")
    ranges = pinned_bars(at)
    assert len(ranges) == 3 and ranges[0] == ranges[1] == ranges[2]
    # a fourth one takes the place of the oldest
    at = press(shown(at.selectbox(key="w_head").set_value((0, 0)).run()), "Pin")
    assert at.session_state["view"].pinned == ["0.1", "1.0", "0.0"]
    at = press(at, "Unpin")
    assert at.session_state["view"].pinned == ["0.1", "1.0"]


def test_a_pin_that_the_model_lacks_is_left_out(view):
    score(view)
    view.pinned = ["2.3", "9.9", "x", "2.3"]
    assert len(pinned_bars(shown(visit(view, "relevance/page.py")))) == 1


def test_a_note_survives_and_goes_with_the_circuit(view):
    run = score(view)
    at = shown(visit(view, "relevance/page.py"))
    at = shown(at.text_area(key="note-2-3").set_value("copies *names*").run())
    assert read_note(run).heads == {"L2.H3": "copies *names*"}
    assert "copies \\*names\\*" in texts(at)
    again = shown(visit(view, "circuit/page.py"))  # a new session
    assert again.text_area(key="note-2-3").value == "copies *names*"
    file = Circuit(frozenset({HEAD}), notes=head_notes.of_heads(run, [HEAD])).text()
    assert json.loads(file)["heads"][0]["note"] == "copies *names*"
    assert Circuit.parse(file).notes == {HEAD: "copies *names*"}


def test_a_note_is_shown_for_other_scorings_and_is_there_once(view):
    first = score(view)
    view.method = "atp"
    second = score(view)
    head_notes.save(first, HEAD, "old")
    assert head_notes.of_heads(second, [HEAD]) == {HEAD: "old"}
    head_notes.save(second, HEAD, "new")
    assert read_note(first).heads == {} and head_notes.by_name(first) == {"L2.H3": "new"}
    head_notes.save(second, HEAD, " ")
    assert not second.file("note.json").exists() and head_notes.by_name(first) == {}


def test_the_note_on_a_run_leaves_those_on_heads(view):
    run = score(view)
    own_runs.save_head_note(run, "L2.H3", "kept")
    own_runs.save_note(run, "name", "")
    assert read_note(run).heads == {"L2.H3": "kept"} and read_note(run).name == "name"
    with pytest.raises(UserError, match="shorten it"):
        own_runs.save_head_note(run, "L2.H3", "x" * 2001)


def test_without_scores_there_is_no_card(view):
    at = shown(visit(view, "relevance/page.py"))
    assert button(at, "Pin") is None and not runs.list_runs("score")
