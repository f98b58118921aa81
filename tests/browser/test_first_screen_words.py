"""The first screen of every page at 1280 x 800: few words, one next step, whole counters."""

import pytest
from playwright.sync_api import expect

from benchmarks.browser import eventually, settle, turn, visitor
from tests.support.first_screen_words import cut_counters, too_many, words

PAGES = ("setup", "relevance", "circuit", "finetune", "compare")

CHARTS_LOADED = """() => performance.getEntriesByType('resource')
  .some(one => one.name.includes('PlotlyChart'))"""
PLANTED = """<div id=planted style="position: fixed; top: 100px; left: 300px">
<p>seven more words stand in the page</p><p style="position: fixed; top: 801px">below</p>
<div data-testid=stMetricValue style="width: 40px; overflow: hidden">
<div style="width: 90px">1234567</div></div></div>"""


@pytest.fixture(scope="module", params=[1280, 768])
def page(request, address, program):
    page = visitor(program, width=request.param, height=800)
    yield page
    page.context.close()


def show(page, address: str, name: str):
    """A page by its address: the sidebar is folded in a narrow window."""
    turn(page, f"{address}/{name}?head=5.4")
    page.get_by_test_id("stMain").locator("h2").first.wait_for()
    settle(page)


@pytest.mark.parametrize("name", PAGES)
def test_few_words_one_next_step_and_whole_counters(page, address, name):
    show(page, address, name)
    page.locator(".js-plotly-plot .main-svg, .curve-panel svg").first.wait_for()
    assert len(words(page)["page"]) > 10
    if page.viewport_size["width"] == 1280:
        eventually(page, lambda: too_many(page), "")
    eventually(page, lambda: cut_counters(page), [])
    if name == "setup":  # it has no chart, and the next page has one at once
        page.wait_for_function(CHARTS_LOADED)
        assert page.locator(".js-plotly-plot").count() == 0
    primary = page.locator('[data-testid="stBaseButton-primary"]:visible')
    assert primary.count() <= 1


def test_the_measure_sees_words_and_cut_counters(page, address):
    show(page, address, "setup")
    before = len(words(page)["page"])
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", PLANTED)
    expect(page.locator("#planted")).to_be_visible()
    assert len(words(page)["page"]) == before + 7
    assert "1234567" in " ".join(cut_counters(page))
    page.evaluate("() => document.querySelector('#planted').remove()")
