"""A presentation in a real browser: keys and buttons lead through the pictures, Escape leaves, and
nothing has to be scrolled.
"""

from contextlib import closing

from playwright.sync_api import expect

from benchmarks.browser import settle, visitor

TITLES = ("What each head contributes", "The circuit", "Learning and forgetting", "The trade-off")
FITS = """() => {
  const plot = document.querySelector('.st-key-present .js-plotly-plot');
  const main = document.querySelector('[data-testid=stMain]');
  if (!plot?.layout || !main) return false;
  const box = plot.getBoundingClientRect();
  return box.height > 0.7 * innerHeight && box.bottom <= innerHeight && box.right <= innerWidth
    && main.scrollHeight <= innerHeight && plot.layout.font.size >= innerHeight / 45;
}"""


def shows(page, title: str):
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    page.wait_for_function(FITS)


def present(page):
    page.get_by_role("heading", name="Compare", exact=True).wait_for()
    settle(page)
    page.get_by_role("button", name="Present").click()
    shows(page, TITLES[3])
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()


def press(page, *keys: tuple[str, str]):
    """(key, title of the picture that it leads to)."""
    for key, title in keys:
        settle(page)
        page.keyboard.press(key)
        shows(page, title)


def leave(page):
    settle(page)
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Compare", exact=True).wait_for()
    expect(page.get_by_test_id("stSidebar")).to_be_visible()
    page.wait_for_function("() => !location.search.includes('present')")


def test_keys_lead_through_the_pictures_and_escape_leaves(address, program):
    page = visitor(program, height=800)
    with closing(page.context):
        page.goto(f"{address}/compare")
        present(page)
        press(page, ("ArrowRight", TITLES[0]), ("ArrowRight", TITLES[1]), ("ArrowLeft", TITLES[0]))
        press(page, ("ArrowLeft", TITLES[3]), ("ArrowLeft", TITLES[2]))
        page.wait_for_function("() => location.search.includes('present=curves')")
        page.reload()
        shows(page, TITLES[2])
        page.get_by_role("button", name="Next").click()
        shows(page, TITLES[3])
        leave(page)
        assert page.errors == []


def test_every_picture_fills_a_large_dark_screen(address, program):
    page = visitor(program, 1920, 1080, dark=True)
    with closing(page.context):
        page.goto(f"{address}/compare")
        present(page)
        press(page, ("ArrowLeft", TITLES[2]), ("ArrowLeft", TITLES[1]), ("ArrowLeft", TITLES[0]))
        expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", "dark")
        assert page.errors == []


def test_the_curves_of_compare_stand_side_by_side_and_a_selected_row_stands_out(address, program):
    page = visitor(program)
    with closing(page.context):
        page.goto(f"{address}/compare")
        page.get_by_role("heading", name="Curves", exact=True).wait_for()
        page.wait_for_function(
            """() => {
              const plot = document.querySelector('.st-key-chart-overlay .js-plotly-plot');
              const layout = plot?._fullLayout;
              return layout?.xaxis2 && layout.yaxis2.range[0] === layout.yaxis.range[0] &&
                layout.xaxis2._offset > layout.xaxis._offset + layout.xaxis._length;
            }"""
        )
        settle(page)
        table = page.get_by_test_id("stDataFrame").first
        table.scroll_into_view_if_needed()
        table.click(position={"x": 16, "y": 54})  # the box of the first row
        for chart, part in (("tradeoff", "trace.mode === 'markers'"), ("overlay", "trace.name")):
            page.wait_for_function(
                f"""() => {{
                  const plot = document.querySelector('.st-key-chart-{chart} .js-plotly-plot');
                  const all = (plot?.data || []).filter(trace => {part});
                  const faint = all.filter(trace => trace.opacity < 0.5);
                  return faint.length > 0 && faint.length < all.length;
                }}"""
            )
        assert page.errors == []
