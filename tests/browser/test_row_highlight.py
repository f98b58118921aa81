"""Compare: the row under the mouse brings out its curve, and the curve under the mouse its row."""

from contextlib import closing

from benchmarks.browser import eventually, settle, visitor

PLOT = ".st-key-chart-overlay .js-plotly-plot"
# how many lines do not fade
FULL = f"""() => {{
  const plot = document.querySelector('{PLOT}');
  const strong = plot.data.filter(trace => (trace.opacity ?? 1) > 0.5);
  return new Set(strong.map(trace => trace.name.split(', ').slice(1).join(', '))).size;
}}"""
# a point inside of the first line, in the window
POINT = f"""() => {{
  const plot = document.querySelector('{PLOT}');
  const trace = plot._fullData.find(one => one.mode?.includes('lines') && one.hovertemplate);
  const {{xaxis, yaxis}} = plot._fullLayout;
  const box = plot.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.l2p(trace.x[1]),
          box.top + yaxis._offset + yaxis.l2p(trace.y[1])];
}}"""


def test_row_and_curve_stand_out_together(address, program):
    page = visitor(program, height=1600)
    with closing(page.context):
        page.goto(f"{address}/compare")
        page.locator(f"{PLOT} .scatterlayer").first.wait_for()
        settle(page)
        many = page.evaluate(FULL)
        assert many > 1
        table = page.get_by_test_id("stDataFrame").first
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 35 * 1.5)  # the first row
        eventually(page, lambda: page.evaluate(FULL), 1)
        page.mouse.move(box["x"] + 200, box["y"] - 60)
        eventually(page, lambda: page.evaluate(FULL), many)
        page.locator(PLOT).scroll_into_view_if_needed()

        def marked() -> bool:
            x, y = page.evaluate(POINT)
            page.mouse.move(x + 3, y + 3)
            page.mouse.move(x, y)
            bar = page.locator(".row-highlight:not([hidden])")
            return bar.count() == 1 and int(bar.get_attribute("data-row")) >= 0

        eventually(page, marked, True)
        page.mouse.move(5, 5)
        eventually(page, lambda: page.locator(".row-highlight:not([hidden])").count(), 0)
        assert page.errors == []
