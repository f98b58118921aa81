"""Behind the first look at a page: its sections, runs, a presentation, the recorded model.
Each is visited once: few words before scrolling, whole counters, and no serious fault in light and
dark.
"""

import pytest
from playwright.sync_api import expect

from benchmarks.browser import eventually, settle, turn
from tests.support.axe_faults import faults
from tests.support.chart_points import most_isolated, points
from tests.support.first_screen_words import cut_counters, too_many, words

RECORDED = "model=recorded/SmolLM2-135M"
# {view: (address, charts in the window)}
VIEWS = {
    "on a text": ("relevance?head=5.4&section=On a text", 2),
    "all heads": ("relevance?head=5.4&section=All heads", 2),
    "advice": ("relevance?head=5.4&section=Advice", 1),
    "two methods": ("relevance?head=5.4&section=Compare", 1),
    "discovery": ("circuit?head=5.4&show=Discovery", 1),
    "after a run": ("finetune?{run}", 1),
    "experiment": ("finetune?tune-tab=Experiment", 0),
    "runs selected": ("compare?{chosen}", 1),
    "presented": ("compare?present=frontier", 1),
    "recorded: setup": (f"?{RECORDED}", 0),
    "recorded: all heads": (f"relevance?{RECORDED}&section=All heads", 2),
    "recorded: compare": (f"compare?{RECORDED}", 1),
    "recorded: two methods": (f"relevance?{RECORDED}&section=Compare", 1),
    "recorded: validation": (f"relevance?{RECORDED}&section=Compare&comparison=Validation", 1),
}
DRAWN = """count => [...document.querySelectorAll('.js-plotly-plot .main-svg:first-child')]
    .filter(one => one.getBoundingClientRect().top < innerHeight).length >= count"""

# {view: the key of its chart whose points are heads}
SCATTERS = {"recorded: two methods": "methods_scatter", "discovery": "layered_graph"}
LAYERS, HEADS = 6, 8  # of the bundled model
CROSSED = """crossed => String((document.querySelector('.st-key-chart-change_map .js-plotly-plot')
    ?.layout?.annotations || []).some(note => note.text.includes('old weights'))) === crossed"""


@pytest.fixture(scope="module")
def queries(shared_home) -> dict[str, str]:
    """Parameters that name runs of the shared home."""
    folder = shared_home / "runs"
    run = min(path.name for path in folder.glob("*finetune-bnch*"))
    names = sorted(path.name for path in folder.glob("*experiment-bnch*"))
    return {"run": f"tune-run={run}", "chosen": f"compare-chosen={names[0]},{names[1]}"}


def undo_and_redo(page, head: tuple[int, int]):
    """A click on the change map gives a head its old weights back, another one the tuned ones."""
    area = page.locator(".st-key-chart-change_map .nsewdrag").first
    for crossed in ("true", "false"):
        area.scroll_into_view_if_needed()
        settle(page)
        box, (layer, index) = area.bounding_box(), head
        page.mouse.click(
            box["x"] + box["width"] * (index + 0.5) / HEADS,
            box["y"] + box["height"] * (layer + 0.5) / LAYERS,
        )
        page.wait_for_function(CROSSED, arg=crossed)


def head_by_scatter(page, chart: str):
    """Of three quick clicks on points of a scatter, the last one's head is selected."""
    plot = page.locator(f".st-key-chart-{chart} .js-plotly-plot")
    plot.scroll_into_view_if_needed()
    settle(page)
    places = points(plot)
    heads = most_isolated(places)[:3]
    for head in heads:
        page.mouse.click(*places[head])
    layer, index = heads[-1]
    page.wait_for_function(
        "head => new URLSearchParams(location.search).get('head') === head", arg=f"{layer}.{index}"
    )


@pytest.mark.parametrize("view", VIEWS)
def test_few_words_whole_counters_and_no_fault_in_light_and_dark(
    page, address, queries, view, changed_head
):
    path, charts = VIEWS[view]
    page.emulate_media(color_scheme="light")
    page.mouse.move(0, 0)  # what shows under the pointer is not there at first
    turn(page, f"{address}/{path.format(**queries)}")
    page.get_by_test_id("stMain").locator("h2").first.wait_for()
    page.wait_for_function(DRAWN, arg=charts)
    settle(page)
    assert len(words(page)["page"]) > 10
    eventually(page, lambda: too_many(page), "")
    eventually(page, lambda: cut_counters(page), [])
    assert page.locator('[data-testid="stBaseButton-primary"]:visible').count() <= 1
    app = page.get_by_test_id("stApp")
    expect(app).to_have_css("color-scheme", "light")
    assert faults(page) == []
    page.emulate_media(color_scheme="dark")
    expect(app).to_have_css("color-scheme", "dark")
    settle(page)
    assert faults(page) == []
    if view == "after a run":
        undo_and_redo(page, changed_head)
    if view in SCATTERS:
        head_by_scatter(page, SCATTERS[view])
    assert page.errors == []
