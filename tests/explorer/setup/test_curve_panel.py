"""Means over seeds as lines, from the lowest to the highest seed as bands; one colour a method."""

import re
from html.parser import HTMLParser

import pytest

from ctsft.plots.style import COLOURS, METHOD_COLOURS
from explorer.setup.curve_panel import Panel, common_limits, panel_html, round_steps

CURVES = {
    "full": [{0: 0.7, 2: 0.4, 4: 0.5}, {0: 0.7, 2: 0.6, 4: 0.5}],
    "circuit": [{0: 0.7, 2: 0.7, 4: 0.68}, {0: 0.7, 2: 0.7, 4: 0.72}],
}
NAMES = {"full": "Everything", "circuit": "Circuit"}
LIMITS = (0.3, 0.8)


class Elements(HTMLParser):
    """Every element: its tag, its attributes, and the text right behind its start."""

    def __init__(self, text: str):
        super().__init__()
        self.all: list[dict] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.all.append({"tag": tag, "text": "", **dict(attrs)})

    def handle_data(self, data):
        self.all[-1]["text"] += data

    def of(self, **wanted) -> list[dict]:
        return [
            one for one in self.all if all(one.get(key) == value for key, value in wanted.items())
        ]


def drawn(**changes) -> Elements:
    fields = {"title": "Indonesian (source)", "role": "source", "curves": CURVES, "names": NAMES}
    return Elements(panel_html(Panel(**{**fields, "limits": LIMITS, **changes})))


def points(element: dict) -> list[tuple[float, float]]:
    """In the units of the axes."""
    pairs = [pair.split(",") for pair in element["points"].split()]
    low, high = LIMITS
    return [(float(x) * 4 / 100, high - float(y) / 100 * (high - low)) for x, y in pairs]


def test_lines_are_means_and_bands_reach_from_the_lowest_to_the_highest_seed():
    panel = drawn()
    (line,) = panel.of(tag="polyline", stroke=METHOD_COLOURS["full"])
    assert points(line) == [pytest.approx(one) for one in ((0, 0.7), (2, 0.5), (4, 0.5))]
    (band,) = panel.of(tag="polygon", fill=METHOD_COLOURS["full"])
    assert [y for _, y in points(band)] == pytest.approx([0.7, 0.6, 0.5, 0.5, 0.4, 0.7])
    assert [x for x, _ in points(band)] == pytest.approx([0, 2, 4, 4, 2, 0])
    assert len(panel.of(tag="polyline")) == len(panel.of(tag="polygon")) == 2


def test_the_level_before_tuning_is_dashed_and_the_names_stand_at_the_ends():
    panel = drawn()
    (before,) = panel.of(**{"class": "before"})
    assert before["stroke"] == COLOURS["source"] and before["d"] == "M0 20.0H100"
    names = {one["text"]: one["style"] for one in panel.of(**{"class": "name"})}
    assert names == {
        "Everything": f"top:60.00%;--line:{METHOD_COLOURS['full']}",
        "Circuit": f"top:20.00%;--line:{METHOD_COLOURS['circuit']}",
    }


def test_names_of_equal_ends_are_moved_apart_within_the_axis():
    same = {method: [{0: 0.5, 2: 0.7}] for method in METHOD_COLOURS}
    panel = drawn(curves=same, names={method: method for method in same}, limits=(0.5, 0.7))
    heights = sorted(
        float(re.search(r"top:([-.\d]+)%", one["style"])[1])
        for one in panel.of(**{"class": "name"})
    )
    assert heights[0] >= 0 and len(heights) == len(same)
    assert all(b - a > 7 for a, b in zip(heights, heights[1:], strict=False))


def test_each_step_says_the_means_and_ranges_of_the_methods_the_highest_first():
    panel = drawn()
    said = [one["text"] for one in panel.all if METHOD_COLOURS["full"] in one.get("style", "")]
    assert "Everything 0.50 (0.40 to 0.60)" in said
    steps = [one["text"] for one in panel.all if one.get("class", "").startswith("values")]
    assert steps == ["step 0", "step 2", "step 4"]
    values = [one["text"] for one in panel.all if re.search(r"\d \(", one["text"])]
    assert [one.split()[0] for one in values[2:4]] == ["Circuit", "Everything"]


def test_panels_share_their_limits_and_are_described():
    low, high = common_limits([CURVES, {"full": [{0: 0.3, 2: 0.2}]}])
    assert (low, high) == pytest.approx((0.17, 0.75))
    (panel,) = drawn().of(role="img")
    assert "Everything 0.70 to 0.50, lowest 0.50" in panel["aria-label"]
    tenths = [one["text"] for one in drawn().of(**{"class": "y"})]
    assert tenths == ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]


def test_names_from_elsewhere_are_text_and_markdown_sees_one_line():
    planted = "<img src=x onerror=alert(1)>"
    html = panel_html(
        Panel(planted, "target", CURVES, {"full": planted, "circuit": '"><b>'}, LIMITS)
    )
    assert "<img" not in html and "<b>" not in html and "\n" not in html
    assert html.count("&lt;img") >= 3


def test_steps_that_a_curve_lacks_are_left_out_and_a_single_step_is_drawn():
    short = CURVES | {"circuit": [{0: 0.7, 4: 0.68}]}
    assert points(drawn(curves=short).of(tag="polyline")[0])[-1] == pytest.approx((4, 0.5))
    assert [one["text"] for one in drawn(curves=short).all if "values" in one.get("class", "")] == [
        "step 0",
        "step 4",
    ]
    only = drawn(curves={"full": [{0: 0.7}]})
    assert len(only.of(tag="polyline")) == 1 and only.of(**{"class": "x"})[0]["text"] == "0"


@pytest.mark.parametrize(
    "last, labels",
    [(1, [0, 1]), (4, [0, 1, 2, 3, 4]), (24, [0, 5, 10, 15, 20]), (48, [0, 10, 20, 30, 40])],
)
def test_few_round_steps_stand_below_the_axis(last, labels):
    panel = Panel("", "source", {"full": [{0: 0.5, last: 0.6}]}, NAMES, LIMITS)
    assert round_steps(panel) == labels
