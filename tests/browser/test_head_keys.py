"""Arrow keys on the head map and on the head's card select the neighbouring head."""

import pytest
from playwright.sync_api import expect

from benchmarks.browser import eventually, settle, visitor


@pytest.fixture(scope="module")
def page(address, program):
    page = visitor(program)
    page.goto(f"{address}/relevance?head=2.3")
    page.locator(".st-key-map-relevance_map[tabindex='0']").wait_for()
    settle(page)
    yield page
    page.context.close()


def selected(page) -> str:
    """The head of the card."""
    return page.locator(".st-key-head-card strong").first.inner_text()


def test_keys_elsewhere_and_in_fields_are_left_alone(page):
    eventually(page, lambda: selected(page), "L2.H3")
    page.locator("body").press("ArrowRight")
    page.get_by_role("button", name="Note").click()
    field = page.get_by_role("textbox", name="Note on L2.H3")
    field.fill("two words")
    field.press("ArrowLeft")
    field.press("Control+Enter")
    page.keyboard.press("Escape")
    expect(page.locator(".st-key-head-card")).to_contain_text("two words")
    eventually(page, lambda: selected(page), "L2.H3")
    page.reload()
    expect(page.locator(".st-key-head-card")).to_contain_text("two words")
    page.get_by_role("button", name="Note").click()
    page.get_by_role("textbox", name="Note on L2.H3").fill("")
    page.get_by_role("textbox", name="Note on L2.H3").press("Control+Enter")
    expect(page.locator(".st-key-head-card")).not_to_contain_text("two words")
    assert page.errors == []


def test_keys_follow_the_picture_and_add_up(page):
    eventually(page, lambda: selected(page), "L2.H3")
    page.locator(".st-key-map-relevance_map").focus()
    page.keyboard.press("ArrowRight")
    eventually(page, lambda: selected(page), "L2.H4")
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowLeft"):  # the third one meets the edge
        page.keyboard.press(key)
    eventually(page, lambda: selected(page), "L0.H3")
    page.locator(".st-key-head-card").focus()
    page.keyboard.press("ArrowDown")
    eventually(page, lambda: selected(page), "L1.H3")
    page.get_by_text("Layer 0 at the bottom").click()
    settle(page)
    page.locator(".st-key-map-relevance_map").focus()
    page.keyboard.press("ArrowUp")
    eventually(page, lambda: selected(page), "L2.H3")
    assert page.errors == []
