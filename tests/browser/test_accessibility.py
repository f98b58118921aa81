"""All five pages by axe-core, light and dark; headings in order, every chart described, and the
keyboard reaches what a click does.
"""

import pytest
from playwright.sync_api import expect

from benchmarks.browser import go, settle, visitor
from tests.support.axe_faults import faults

PAGES = ("Setup", "Relevance", "Circuit", "Fine-tune", "Compare")
HEADINGS = (
    "() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter(one =>"
    " one.offsetParent).map(one => +one.tagName[1])"
)


STILL = (  # nothing fades in any more
    "() => document.getAnimations().every(one => one.playState !== 'running' ||"
    " one.effect.getComputedTiming().iterations === Infinity)"
)


@pytest.fixture(scope="module")
def page(address, program):
    page = visitor(program)
    page.goto(address)
    page.get_by_role("heading", name="Setup", exact=True).wait_for()
    settle(page)
    yield page
    page.context.close()


def has_no_fault(page, scheme: str):
    page.emulate_media(color_scheme=scheme)
    expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", scheme)
    settle(page)
    page.wait_for_function(STILL)
    assert faults(page) == []


@pytest.mark.parametrize("title", PAGES)
def test_no_serious_fault_headings_in_order_every_chart_described(page, title):
    # half of the pages are arrived at in each scheme, and all are seen in both
    before, after = ("light", "dark") if PAGES.index(title) % 2 else ("dark", "light")
    page.emulate_media(color_scheme=before)
    go(page, title)
    has_no_fault(page, before)
    levels = page.evaluate(HEADINGS)
    assert (
        levels[0] == 1
        and levels.count(1) == 1
        and all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False))
    ), levels
    charts = page.locator(".js-plotly-plot, .curve-panel").count()
    described = page.locator(
        "[data-testid=stPlotlyChart][role=figure][aria-label], .curve-panel[role=img][aria-label]"
    ).count()
    assert charts == described and (charts or page.get_by_test_id("stAlert").count())
    has_no_fault(page, after)
    assert page.errors == []


def test_the_circuit_can_be_changed_from_the_keyboard_alone(page):
    go(page, "Circuit")
    heads = page.locator(".score-strip [data-fact=heads]")
    before = heads.inner_text()
    line = page.locator(".score-strip").get_by_role("slider")
    line.focus()
    page.keyboard.press("ArrowRight")
    expect(heads).not_to_have_text(before)
    more = heads.inner_text()
    now, most = (int(line.get_attribute(f"aria-value{end}")) for end in ("now", "max"))
    assert more == f"{now} of {most}" and f"{now} heads" in line.get_attribute("aria-valuetext")
    # the server has it once the sidebar says so
    expect(page.get_by_test_id("stSidebar")).to_contain_text(f"{now} heads")
    settle(page)
    # and the table, once its text for screen readers does, which follows the drawing
    page.wait_for_function(
        "rank => document.querySelector('[data-testid=stDataFrame] canvas').textContent"
        ".includes(rank)",
        arg=f"rank {now} by score",
    )
    page.get_by_test_id("stDataFrame").first.locator("canvas").first.focus()
    page.locator("[data-testid=stDataFrame] [aria-selected=true]").first.wait_for(state="attached")
    page.keyboard.press("Enter")
    expect(heads).not_to_have_text(more)


def test_the_check_sees_a_fault(page):
    page.evaluate(
        "() => document.body.insertAdjacentHTML('beforeend', '<img id=planted src=\"data:,\"><a"
        ' id=planted2 href="#"></a>\')'
    )
    assert any(line.startswith("image-alt") for line in faults(page))
    page.evaluate("() => document.querySelectorAll('[id^=planted]').forEach(one => one.remove())")
