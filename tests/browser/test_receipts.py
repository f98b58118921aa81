"""Every number that a page shows as a result lies inside of a receipt, which names command, run,
rows, seed, model and interval; the mark opens it.
"""

import re

import pytest
from playwright.sync_api import expect

from benchmarks.browser import eventually, settle, unfold, visitor
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
}


@pytest.fixture(scope="module")
def page(address, program):
    page = visitor(program, height=800)
    yield page
    page.context.close()


def uncovered(page) -> list[str]:
    return [text for text in numbers(page)["uncovered"] if not EXPLANATIONS.search(text)]


@pytest.mark.parametrize("view", VIEWS)
def test_every_result_has_a_receipt(page, address, view):
    name = view.split()[0]
    page.goto(f"{address}/{name}?{VIEWS[view]}")
    page.get_by_test_id("stMain").locator("h2").first.wait_for()
    settle(page)
    if view == "setup":
        unfold(page)
        page.get_by_text("Key/value groups").first.wait_for()
        settle(page)
    page.locator(".receipt summary").first.wait_for()
    eventually(page, lambda: uncovered(page), [])
    assert len(numbers(page)["covered"]) >= 2
    for card in page.locator(".receipt-card dl").all():
        assert [term.text_content() for term in card.locator("dt").all()] == list(PARTS)
        assert all(text.text_content().strip() for text in card.locator("dd").all())


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
