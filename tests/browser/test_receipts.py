"""Every number that a page shows as a result lies inside of a receipt, which names command, run,
rows, seed, model and interval; the mark opens it, Escape or a click elsewhere closes it.
"""

import os
import re
from contextlib import closing

import pytest
from playwright.sync_api import expect

from benchmarks.browser import eventually, server, settle, turn, unfold, visitor
from tests.support.uncovered_numbers import numbers

# what explains a scale or repeats a setting
EXPLANATIONS = re.compile(
    r"Faithfulness 1 means|of the Circuit page|Each iteration selects|choose up to|^The paper finds"
    r"|^\d+ trials$|^: \d+ ways"
)
RECORDED = "model=recorded/SmolLM2-135M&source=english&target=indonesian&n=12"
PARTS = ("command", "run", "rows", "seed", "model", "interval")
VIEWS = {
    "setup": "",
    "relevance": "head=5.4",
    "relevance means": "head=5.4&section=All heads&panel=Means",
    "relevance on a text": "head=5.4&section=On a text",
    "relevance advice": "head=5.4&section=Advice",
    "relevance compare": "head=5.4&section=Compare",
    "circuit": "head=5.4",
    "finetune": "head=5.4",
    "compare": "",
    "setup of a recorded model": RECORDED,
    "relevance validation": f"{RECORDED}&section=Compare&comparison=Validation",
    "relevance two methods": f"{RECORDED}&section=Compare&comparison=Two methods",
    "relevance pinned heads": f"{RECORDED}&pinned=5.4,3.2",
    "finetune experiment": "tune-tab=Experiment",
    "compare presented": "present=frontier",
    "relevance presented": f"{RECORDED}&present=map",
    "circuit presented": f"{RECORDED}&present=circuit",
}
# in each Python process that finds this file: torch cannot be imported
NO_TORCH = """
import sys, time
class Waits:
    def find_spec(self, name, *others):
        while name == "torch":
            time.sleep(0.1)
sys.meta_path.insert(0, Waits())
"""


def uncovered(page) -> list[str]:
    return [text for text in numbers(page)["uncovered"] if not EXPLANATIONS.search(text)]


@pytest.mark.parametrize("view", VIEWS)
def test_every_result_has_a_receipt(page, address, view):
    name = view.split()[0]
    turn(page, f"{address}/{name}?{VIEWS[view]}")
    page.get_by_test_id("stMain").locator("h2").first.wait_for()
    settle(page)
    if view == "setup":
        unfold(page)
        page.get_by_text("Key/value groups").first.wait_for()
        settle(page)
    covered(page)


def covered(page):
    """Checks that each result on the page has a whole receipt."""
    page.locator(".receipt summary").first.wait_for()
    eventually(page, lambda: uncovered(page), [])
    eventually(page, lambda: len(numbers(page)["covered"]) >= 2, True)
    for card in page.locator(".receipt-card dl").all():
        assert [term.text_content() for term in card.locator("dt").all()] == list(PARTS)
        assert all(text.text_content().strip() for text in card.locator("dd").all())


def test_the_map_of_stored_scores_has_a_receipt_while_libraries_load(
    shared_home, program, tmp_path, monkeypatch
):
    (tmp_path / "sitecustomize.py").write_text(NO_TORCH)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    page = visitor(program, height=800)
    with server(shared_home) as address, closing(page.context):
        for view in ("relevance", "circuit?head=5.4", "relevance?model=recorded/SmolLM2-135M"):
            page.goto(f"{address}/{view}")
            page.get_by_text("Stored scores.").wait_for()
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
            covered(page)


def test_the_mark_opens_the_receipt_and_a_planted_number_is_seen(page, address):
    page.goto(f"{address}/compare")
    mark = page.locator(".receipt summary").first
    mark.wait_for()
    settle(page)
    assert "command: python -m ctsft finetune" in mark.get_attribute("title")
    card = page.locator(".receipt-card").first
    expect(card).to_be_hidden()
    mark.press("Enter")
    expect(card).to_be_visible()
    eventually(page, lambda: uncovered(page), [])
    page.get_by_test_id("stMain").evaluate("main => main.append('0.123 of all')")
    assert uncovered(page) == ["0.123 of all"]


def test_a_card_closes_with_escape_a_click_elsewhere_and_another_card(page, address):
    page.goto(f"{address}/relevance?head=5.4")
    marks, cards = page.locator(".receipt summary"), page.locator(".receipt-card")
    marks.nth(1).wait_for()
    settle(page)
    for inside in (marks.first, cards.first):  # where the focus is
        marks.first.press("Enter")
        expect(cards.first).to_be_visible()
        inside.focus()
        page.keyboard.press("ArrowDown")
        expect(cards.first).to_be_visible()
        page.keyboard.press("Escape")
        expect(cards.first).to_be_hidden()
        expect(marks.first).to_be_focused()
    marks.first.click()
    cards.first.click(position={"x": 30, "y": 30})
    expect(cards.first).to_be_visible()
    marks.nth(1).press("Enter")
    expect(cards.nth(1)).to_be_visible()
    expect(cards.first).to_be_hidden()
    page.get_by_role("heading", name="Relevance", exact=True).click()
    expect(cards.nth(1)).to_be_hidden()
    assert page.errors == []


def test_in_a_presentation_escape_closes_the_card_first(page, address):
    page.goto(f"{address}/compare?present=frontier")
    mark, card = page.locator(".receipt summary"), page.locator(".receipt-card")
    mark.wait_for()
    settle(page)
    mark.press(" ")
    expect(card).to_be_visible()
    card.press("ArrowRight")  # scrolls
    card.press("Escape")
    expect(card).to_be_hidden()
    settle(page)
    expect(page.get_by_role("heading", name="The trade-off", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
