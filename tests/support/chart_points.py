"""Where the points of a chart are in the window, by what they carry: a head, or an example."""

from playwright.sync_api import Locator

POINTS = """plot => {
  const area = plot.querySelector('.nsewdrag').getBoundingClientRect();
  const {xaxis, yaxis} = plot._fullLayout;
  return plot._fullData.flatMap(trace => [...(trace.customdata || [])].map((key, n) =>
    [[...key], [area.left + xaxis.d2p(trace.x[n]), area.top + yaxis.d2p(trace.y[n])]]));
}"""


def points(chart: Locator) -> dict[tuple[int, ...], tuple[float, float]]:
    """{what a point carries: its place in the window}."""
    return {tuple(key): tuple(place) for key, place in chart.evaluate(POINTS)}


def most_isolated(places: dict[tuple[int, ...], tuple[float, float]]) -> list[tuple[int, ...]]:
    """What the points carry, those farthest from all others first."""

    def distance(key) -> float:
        x, y = places[key]
        others = (place for other, place in places.items() if other != key)
        return min((x - a) ** 2 + (y - b) ** 2 for a, b in others)

    return sorted(places, key=distance, reverse=True)
