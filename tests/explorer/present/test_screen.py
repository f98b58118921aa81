"""A presentation: which pictures there are, where the buttons lead, and what each picture says."""

import re

import pytest

from ctsft.plots.presentation import FONT
from support.finetune_page import score, tuned
from support.pages import button, receipts, spec, texts, visit


def title(at) -> str:
    return at.header[0].value


def presented(view, picture: str):
    """The presentation, opened on Compare."""
    at = visit(view, "compare/page.py")
    at.session_state["view"].present = picture
    return at.run()


def press(at, label: str):
    at = button(at, label).click().run()
    assert not at.exception
    return at


def test_the_button_of_a_page_opens_its_picture_and_leave_returns_to_the_page(view):
    score(view)
    at = press(visit(view, "circuit/page.py"), "Present")
    assert title(at) == "The circuit" and len(at.get("plotly_chart")) == 1
    assert "2 of 12 heads, outlined" in texts(at)
    at = press(at, "Leave")
    assert title(at) == "Circuit" and at.session_state["view"].present == ""


def test_another_page_ends_a_presentation_as_going_back_does(view):
    score(view)
    at = press(visit(view, "circuit/page.py"), "Present")
    at = at.switch_page("relevance/page.py").run()
    assert title(at) == "Relevance" and at.session_state["view"].present == ""
    at = press(at, "Present")
    assert title(at) == "What each head contributes"
    assert title(at.run()) == "What each head contributes"


def test_next_and_previous_go_round_all_pictures(view):
    scored = {score(view).id}
    tunings = {tuned(view).id, tuned(view, "full", after=(0.5, 0.75)).id}
    at = presented(view, "map")
    seen = []
    for _ in range(4):
        figure = spec(at)
        assert figure["layout"]["font"]["size"] == FONT and "height" not in figure["layout"]
        name = at.session_state["view"].present
        seen.append((title(at), name))
        rests_on = set(re.findall("<dt>run</dt><dd>(.*?)</dd>", receipts(at)))
        assert rests_on == (scored if name in ("map", "circuit") else tunings)
        at = press(at, "Next")
    assert seen == [
        ("What each head contributes", "map"),
        ("The circuit", "circuit"),
        ("Learning and forgetting", "curves"),
        ("The trade-off", "frontier"),
    ]
    assert title(at) == seen[0][0] and title(press(at, "Previous")) == seen[3][0]


@pytest.mark.parametrize("wanted", ["map", "frontier"])
def test_a_picture_that_is_not_there_is_replaced_by_the_first_one(view, wanted):
    tuned(view)
    at = presented(view, wanted)
    assert not at.exception
    assert "1 of 2" in texts(at) or wanted == "frontier"
    assert title(at) == {"map": "Learning and forgetting", "frontier": "The trade-off"}[wanted]


def test_without_any_picture_the_screen_says_what_to_do(view):
    at = presented(view, "map")
    assert "There is no picture yet" in texts(at) and not at.get("plotly_chart")
    assert title(press(at, "Leave")) == "Compare"


def test_curves_and_frontier_are_of_the_runs_that_compare_shows(view):
    tuned(view, seed=1)
    tuned(view, "full", after=(0.5, 0.75), seed=2)
    view.compare_what = ["full"]
    at = presented(view, "frontier")
    names = {trace["name"] for trace in spec(at)["data"]}
    assert names == {"Everything"}
    assert "Up and right is better" in texts(at), "one seed ranks nothing"
