"""Every click on a head map counts: while the server is busy, while the chart is being drawn again,
and in quick succession.
"""

import pytest
from playwright.sync_api import expect

from benchmarks.browser import eventually, settle, turn
from tests.support.chart_points import points
from tests.support.stalled_server import stalled

LAYERS, HEADS = 6, 8  # of the bundled model
# Plotly hears no click on the map until it is drawn again
GONE = "() => document.querySelector('.js-plotly-plot .nsewdrag').remove()"


@pytest.fixture
def arrive(page, address):
    """arrive(path) -> the place of a head in the window."""

    def show(path: str):
        turn(page, f"{address}/{path}")
        page.locator(".js-plotly-plot .nsewdrag").first.wait_for()
        page.locator(".score-strip [data-fact=heads]").wait_for()
        settle(page)
        page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
        area = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()

        def place(layer: int, head: int) -> tuple[float, float]:
            return (
                area["x"] + area["width"] * (head + 0.5) / HEADS,
                area["y"] + area["height"] * (layer + 0.5) / LAYERS,
            )

        return place

    return show


def click_while_busy(page, place, address: str, heads: list[tuple[int, int]]):
    """The first two at once; the others while the chart is not there."""
    with stalled(address):
        for n, head in enumerate(heads):
            if n == 2:
                page.evaluate(GONE)
            page.mouse.click(*place(*head))


def selected(page) -> str:
    return page.locator(".st-key-head-card strong").first.inner_text()


def count(page) -> int:
    """Heads of the circuit; -1 while nothing is written yet."""
    text = page.locator(".score-strip [data-fact=heads]").inner_text()
    return int(text.split()[0]) if text else -1


def example_points(page) -> dict[tuple[int, ...], tuple[float, float]]:
    """Where the points of the chart of single examples are, by the examples' numbers."""
    chart = page.locator("[class*=st-key-chart-inspector-strip] .js-plotly-plot")
    chart.scroll_into_view_if_needed()
    settle(page)
    return points(chart)


def heights_of_buttons(page) -> set[float]:
    """Of undo, redo and clear."""
    buttons = page.locator(".st-key-history button:visible").all()
    return {round(one.bounding_box()["y"]) for one in buttons}


def test_the_last_of_quick_clicks_is_the_selected_head(page, arrive, address):
    place = arrive("relevance?head=2.3")
    click_while_busy(page, place, address, [(1, 1), (3, 6), (4, 2)])
    eventually(page, lambda: selected(page), "L4.H2")
    expect(page.locator(".js-plotly-plot .nsewdrag").first).to_be_visible()
    settle(page)
    page.mouse.click(*place(0, 7))
    eventually(page, lambda: selected(page), "L0.H7")
    settle(page)
    places = example_points(page)
    with stalled(address):
        for example in (3, 30, 17):
            page.mouse.click(*places[(example,)])
    page.wait_for_function("() => location.search.includes('example=17')")


def test_each_of_quick_clicks_changes_the_circuit(page, arrive, address):
    place = arrive("circuit?rule=none")
    eventually(page, lambda: count(page), 0)
    eventually(page, lambda: len(heights_of_buttons(page)), 1)
    heads = [(1, 1), (3, 6), (4, 2), (1, 1), (0, 5)]  # the first one in and out
    click_while_busy(page, place, address, heads)
    eventually(page, lambda: count(page), 3)
    page.wait_for_function("() => location.search.includes('add=0.5_3.6_4.2')")
    settle(page)
    eventually(page, lambda: count(page), 3)


def test_what_is_no_click_on_the_map_selects_nothing(page, arrive):
    place = arrive("relevance?head=2.4")
    mark = page.locator(".receipt summary").first
    mark.click()
    card = page.locator(".receipt-card").first
    box = card.bounding_box()
    covered = [
        head
        for head in [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
        if box["x"] < place(*head)[0] < box["x"] + box["width"]
        and box["y"] < place(*head)[1] < box["y"] + box["height"]
    ]
    page.mouse.click(*place(*covered[-1]))  # on the card that lies over the map
    expect(card).to_be_visible()
    page.keyboard.press("Escape")
    page.mouse.move(*place(3, 2))
    page.mouse.down()
    page.mouse.move(*place(3, 4), steps=4)
    page.mouse.up()  # moved the map
    page.locator(".js-plotly-plot .nsewdrag").first.dblclick(position={"x": 4, "y": 4})
    eventually(page, lambda: selected(page), "L0.H0")  # the only clicks on a head
