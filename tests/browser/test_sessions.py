"""Several visitors of one server: their circuits stay apart, a link carries one over, and what one
has zoomed and chosen stays as it was.
"""

import pytest
from playwright.sync_api import expect

from benchmarks.browser import click_head, eventually, go, settle, visitor

LAYERS, HEADS = 6, 8  # of the bundled model


def arrived(program, address: str):
    page = visitor(program)
    page.goto(f"{address}/circuit")
    page.locator(".js-plotly-plot .nsewdrag").first.wait_for()
    settle(page)
    return page


def heads(page) -> int:
    """Of the circuit; -1 while nothing is written yet."""
    text = page.locator(".score-strip [data-fact=heads]").inner_text()
    return int(text.split()[0]) if text else -1


def until(page, count: int):
    expect(page.locator(".score-strip [data-fact=heads]")).to_have_text(
        f"{count} of {LAYERS * HEADS}"
    )
    settle(page)


def outlined(page) -> int:
    """The most strokes of one kind on the head map: the outlines of the circuit."""
    return page.evaluate(
        """() => Math.max(...[...document.querySelector('.js-plotly-plot')
        .querySelectorAll('.scatterlayer .trace')].map(
        trace => trace.querySelectorAll('path.js-line').length))"""
    )


@pytest.fixture
def arrive(program, address):
    """arrive() -> another visitor's Circuit page."""
    pages = []

    def another():
        pages.append(arrived(program, address))
        return pages[-1]

    yield another
    for page in pages:
        assert page.errors == []
        page.context.close()


@pytest.fixture(scope="module")
def page(program, address):
    """The Circuit page of one visitor for several tests."""
    page = arrived(program, address)
    yield page
    assert page.errors == []
    page.context.close()


def slide(page, share: float):
    """Put the line of the score strip at a share of its way, and wait for the server."""
    track = page.locator(".score-strip .track").bounding_box()
    page.mouse.click(track["x"] + track["width"] * share, track["y"] + track["height"] * 0.6)
    sidebar = page.get_by_test_id("stSidebar")
    eventually(page, lambda: f"{heads(page)} heads" in sidebar.inner_text(), True)
    settle(page)


def test_two_sessions_never_see_each_others_circuit_and_a_link_carries_one_over(arrive, program):
    one, other = arrive(), arrive()
    for page in (one, other):
        eventually(page, lambda page=page: (heads(page), outlined(page)), (6, 6))
    slide(one, 0.5)
    eventually(one, lambda: 15 < heads(one) < 35, True)
    chosen = heads(one)
    assert 15 < chosen < 35, "the line moves the counter"
    eventually(one, lambda: outlined(one), chosen)  # and the outlines
    click_head(one, 0, 0, LAYERS, HEADS)
    by_hand = heads(one)
    assert abs(by_hand - chosen) == 1
    go(other, "Relevance")
    go(other, "Circuit")
    eventually(other, lambda: heads(other), 6)  # another session's clicks are its own
    go(one, "Setup")
    go(one, "Circuit")
    eventually(one, lambda: heads(one), by_hand)  # a circuit stays when its page is left

    link = one.url
    third = visitor(program)
    third.goto(link)
    third.get_by_role("heading", name="Circuit", exact=True).wait_for()
    until(third, by_hand)
    eventually(third, lambda: heads(third), by_hand)
    third.get_by_text("removed by hand").or_(third.get_by_text("By hand")).first.wait_for()
    assert third.errors == []
    third.context.close()


def test_the_address_keeps_the_view_over_reloading_back_and_another_tab(arrive, program):
    page = arrive()
    slide(page, 0.5)
    eventually(page, lambda: heads(page) > 15, True)
    count = heads(page)
    eventually(page, lambda: f"k={count}" in page.url, True)
    page.reload()
    page.locator(".js-plotly-plot .nsewdrag").first.wait_for()
    eventually(page, lambda: heads(page), count)
    go(page, "Relevance")
    eventually(page, lambda: f"k={count}" in page.url, True)
    go(page, "Circuit")
    for title in ("Relevance", "Circuit"):  # back, and forward again
        page.go_back() if title == "Relevance" else page.go_forward()
        page.get_by_role("heading", name=title, exact=True).wait_for()
        settle(page)
    eventually(page, lambda: heads(page), count)
    eventually(page, lambda: f"k={count}" in page.url, True)
    other = page.context.new_page()
    other.goto(page.url)
    other.locator(".js-plotly-plot .nsewdrag").first.wait_for()
    eventually(other, lambda: heads(other), count)


def test_copy_link_is_one_click_on_every_page(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for title in ("Setup", "Relevance", "Circuit", "Fine-tune", "Compare"):
        go(page, title)
        page.get_by_role("button", name="Copy link").click()
        page.get_by_test_id("stToast").get_by_text("Link copied").first.wait_for()
        eventually(page, lambda: page.evaluate("navigator.clipboard.readText()") == page.url, True)


def shown_heads(page) -> list[float]:
    """The range of the map's horizontal axis."""
    return page.evaluate("() => document.querySelector('.js-plotly-plot').layout.xaxis.range")


def test_zoom_stays_when_the_circuit_changes_and_when_the_page_is_left(page):
    go(page, "Circuit")
    page.locator(".js-plotly-plot .nsewdrag").first.wait_for()

    def shows(*ends: float):
        eventually(page, lambda: shown_heads(page), list(ends))

    area = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    page.mouse.wheel(0, -300)
    page.evaluate(
        "() => window.Plotly.relayout(document.querySelector('.js-plotly-plot'), {'xaxis.range':"
        " [-0.5, 3.5], 'yaxis.range': [2.5, -0.5]})"
    )
    shows(-0.5, 3.5)
    slide(page, 0.5)
    eventually(page, lambda: heads(page) > 15, True)
    shows(-0.5, 3.5)
    go(page, "Setup")
    go(page, "Circuit")
    shows(-0.5, 3.5)
    page.locator(".js-plotly-plot .nsewdrag").first.dblclick()
    shows(-0.5, 7.5)
    slide(page, 0.7)
    shows(-0.5, 7.5)


def test_nothing_jumps_when_the_line_moves(page):
    go(page, "Circuit")
    page.evaluate(
        """() => { window.moved = 0; new PerformanceObserver(
        list => list.getEntries().forEach(entry => window.moved += entry.value))
        .observe({type: 'layout-shift', buffered: false}) }"""
    )
    for share in (0.3, 0.5, 0.2):
        slide(page, share)
    assert page.evaluate("() => window.moved") < 0.1, (
        "cumulative layout shift; up to 0.1 counts as none"
    )
