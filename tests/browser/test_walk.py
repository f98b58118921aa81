"""The five pages in a real browser, as a newcomer walks them: scores appear, a click toggles a
head, a run starts and its curve gains points.
"""

import json
import re
from contextlib import closing

from benchmarks.browser import WAIT, click_head, eventually, go, server, settle, turn, visitor


def heads_in_circuit(page) -> int:
    text = page.locator(".score-strip [data-fact=heads]").inner_text()
    return int(re.search(r"(\d+) of", text).group(1))


def points_of_curve(page) -> int:
    """Evaluations drawn in the accuracy chart's longest curve; 0 while it is drawn again."""
    return page.evaluate(
        """() => Math.max(0, ...[...document.querySelectorAll('.js-plotly-plot')]
        .filter(plot => plot.layout?.xaxis?.title?.text?.includes('optimiser steps'))
        .flatMap(plot => (plot.data || []).filter(trace => trace.mode === 'lines+markers')
        .map(trace => (trace.x || []).length)))"""
    )


def test_walk(tmp_path, program):
    page = visitor(program, still=False)
    with server(tmp_path) as address, closing(page.context):
        page.goto(f"{address}/relevance")
        page.get_by_role("button", name="Score heads").wait_for()
        settle(page)
        assert not list(tmp_path.glob("runs/*")), "an address starts nothing"
        page.goto(f"{address}/setup?n=12")  # few examples
        page.get_by_role("heading", name="Setup", exact=True).wait_for()
        page.get_by_role("button", name="Do it yourself").click()

        page.get_by_role("heading", name="Relevance", exact=True).wait_for()
        page.get_by_test_id("stSidebar").get_by_text("scored, 12 examples").wait_for(
            timeout=300_000
        )
        page.locator(".js-plotly-plot").first.wait_for()
        shape = json.loads(next(tmp_path.glob("runs/*score*/result.json")).read_text())

        go(page, "Circuit")
        page.locator(".js-plotly-plot .nsewdrag").first.wait_for()
        before = heads_in_circuit(page)
        least = shape["heads"][-1]
        click_head(page, least["layer"], least["head"], shape["n_layers"], shape["n_heads"])
        page.wait_for_function(
            f"() => document.body.innerText.includes('{before + 1} of"
            f" {shape['n_layers'] * shape['n_heads']}')"
        )
        # a click on a head outside the circuit puts it in
        eventually(page, lambda: heads_in_circuit(page), before + 1)
        page.get_by_role("button", name="Undo").click()
        page.wait_for_function(
            f"() => document.body.innerText.includes('{before} of"
            f" {shape['n_layers'] * shape['n_heads']}')"
        )

        go(page, "Fine-tune")
        # a short run: the button on Setup has chosen the settings of the recorded ones
        joined = "&" if "?" in page.url else "?"
        turn(page, f"{page.url}{joined}epochs=4&labelled=24&eval-every=2&final-split=")
        page.get_by_role("button", name="Start tuning").click()
        page.get_by_test_id("stSidebar").get_by_text("running").first.wait_for()
        runs = list(tmp_path.glob("runs/*finetune*"))
        assert len(runs) == 1

        assert page.errors == [], "the console stayed clean, and nothing was asked of another host"
        again = page.context.new_page()  # the tab goes, the run goes on
        again.set_default_timeout(WAIT)
        page.close()
        again.goto(address + "/finetune")
        again.get_by_role("heading", name="Fine-tune", exact=True).wait_for()
        again.wait_for_function("() => document.querySelectorAll('.js-plotly-plot').length >= 2")
        result, drawn = runs[0] / "result.json", [points_of_curve(again)]
        for _ in range(WAIT // 250):
            if result.is_file():
                break
            again.wait_for_timeout(250)
            drawn.append(points_of_curve(again))
        # the outcome, shown once the run is over
        again.get_by_text("texts lost").first.wait_for()
        settle(again)
        history = json.loads(result.read_text())["history"]
        assert history[0]["step"] == 0 and len(history) > 3
        eventually(again, lambda: points_of_curve(again), len(history))
        drawn = [points for points in drawn if points]  # 0: looked while it was drawn again
        assert drawn == sorted(drawn) and max(drawn) <= len(history), (
            f"the curve gains a point with each evaluation, without a reload: {drawn}"
        )

        go(again, "Compare")
        again.get_by_test_id("stDataFrame").first.wait_for()
        again.get_by_test_id("stSidebar").get_by_text("1 run").first.wait_for()
