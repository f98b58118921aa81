"""The line under the head map: outlines and numbers follow it, and clicks on the map, before the
server hears of them.
"""

import pytest
from playwright.sync_api import expect

from benchmarks.browser import click_head, settle, turn

LAYERS, HEADS = 6, 8  # of the bundled model
OUTLINES = """() => {
    const plot = document.querySelector('.js-plotly-plot')
    const {uid} = plot._fullData.find(one => one.name === 'outline' && one.meta === 'ink')
    return plot.querySelectorAll(`.trace${uid} path.js-line`).length
}"""
# from here on, what the page wants to tell the server is dropped; `window.heard()` ends it
DEAF = """() => {
    const { send } = WebSocket.prototype
    WebSocket.prototype.send = () => {}
    window.heard = () => { WebSocket.prototype.send = send }
}"""


@pytest.fixture
def arrive(page, address):
    """arrive(query): the page with another circuit than those before."""

    def show(query: str):
        turn(page, f"{address}/circuit?{query}")
        page.locator(".js-plotly-plot .nsewdrag").first.wait_for()
        page.locator(".score-strip [data-fact=heads]").wait_for()
        settle(page)
        page.wait_for_function("() => document.querySelector('.js-plotly-plot')?.scoreStrip")
        return page

    yield show
    page.evaluate("() => window.heard?.()")
    page.emulate_media(color_scheme="light")


def fact(page, name: str) -> str:
    return page.locator(f".score-strip [data-fact={name}]").inner_text()


def heads(page) -> int:
    return int(fact(page, "heads").split()[0])


def place(page, share: float) -> tuple[float, float]:
    track = page.locator(".score-strip .track").bounding_box()
    return track["x"] + track["width"] * share, track["y"] + track["height"] / 2


@pytest.mark.parametrize(("scheme", "level"), [("light", 0.5), ("dark", 0.6)])
def test_everything_follows_the_line_without_the_server(arrive, scheme, level):
    page = arrive(f"rule=threshold&level={level}")
    page.emulate_media(color_scheme=scheme)
    expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", scheme)
    settle(page)
    page.evaluate(DEAF)
    page.mouse.move(*place(page, 0.1))
    page.mouse.down()
    seen = set()
    for share in (0.25, 0.5, 0.75):
        page.mouse.move(*place(page, share))
        assert heads(page) == page.evaluate(OUTLINES) == round(share * LAYERS * HEADS)
        seen.add((fact(page, "trainable"), fact(page, "cutoff")))
    assert len(seen) == 3 and all(cutoff.startswith("≥") for _, cutoff in seen)
    page.mouse.up()
    assert heads(page) == 36


def test_the_server_confirms_on_release_and_the_link_carries_it(arrive):
    page = arrive("rule=threshold&level=0.55")
    page.mouse.move(*place(page, 0.1))
    page.mouse.down()
    page.mouse.move(*place(page, 0.5))
    sidebar = page.get_by_test_id("stSidebar")
    assert heads(page) == 24 and "24 heads" not in sidebar.inner_text()
    page.mouse.up()
    expect(sidebar).to_contain_text("24 heads")
    settle(page)
    assert heads(page) == page.evaluate(OUTLINES) == 24
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".score-strip [data-fact=heads]")).not_to_have_text("24 of 48")


@pytest.mark.parametrize(
    "query, first, last",
    [
        ("rule=top&k=6", 0, 48),
        ("rule=threshold&level=0.4", 1, 48),
        ("rule=fraction&share=0.1", 1, 48),
    ],
)
def test_arrows_step_head_by_head_home_and_end_reach_the_ends(arrive, query, first, last):
    page = arrive(query)
    line = page.locator(".score-strip").get_by_role("slider")
    before = heads(page)
    line.focus()
    for key, expected in (
        ("ArrowRight", before + 1),
        ("ArrowUp", before + 2),
        ("ArrowLeft", before + 1),
        ("End", last),
        ("Home", first),
        ("ArrowRight", first + 1),
    ):
        page.keyboard.press(key)
        assert heads(page) == int(line.get_attribute("aria-valuenow")) == expected
    assert [line.get_attribute(f"aria-value{end}") for end in ("min", "max")] == [str(first), "48"]
    expect(page.get_by_test_id("stSidebar")).to_contain_text(f"{first + 1} head")


def test_clicks_are_drawn_at_once_and_stay_when_the_line_moves(arrive):
    page = arrive("rule=none")
    assert not page.locator(".score-strip .line").is_visible(), "a rule without an order"
    click_head(page, 5, 7, LAYERS, HEADS)
    click_head(page, 0, 0, LAYERS, HEADS)
    expect(page.get_by_test_id("stSidebar")).to_contain_text("2 heads")
    page.evaluate(DEAF)
    click_head(page, 2, 2, LAYERS, HEADS)
    assert heads(page) == page.evaluate(OUTLINES) == 3
    assert "3 added" in page.locator("[data-note=heads]").inner_text()


def test_nothing_animates_with_reduced_motion(arrive):
    page = arrive("rule=threshold&level=0.45")
    page.emulate_media(reduced_motion="reduce")
    page.mouse.move(*place(page, 0.2))
    page.mouse.down()
    page.mouse.move(*place(page, 0.6))
    assert (
        page.evaluate(
            "() => document.querySelector('.score-strip').getAnimations({subtree: true}).length"
        )
        == 0
    )
    page.mouse.up()
    expect(page.get_by_test_id("stSidebar")).to_contain_text(f"{heads(page)} heads")
