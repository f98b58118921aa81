"""A newcomer in a real browser: what it takes to see a model forget, and to see one's own run.

    python -m benchmarks.newcomer

story    from the start of the server's process to the sentence about forgetting on Setup
own run  from there to the first points of an own run's curve: Do it yourself, Fine-tune, Start

The browser is open before the server starts; clicks and scrolls are counted as they are made, and
seconds run from the server's start. The load of the machine stands beside them.
"""

import os
import tempfile
import time
from pathlib import Path

from benchmarks.browser import Page, browser, server

LIMIT = 300_000  # milliseconds for each step
GOALS = {"story": 0, "own run": 3}  # clicks
POINTS = (
    "() => [...document.querySelectorAll('.js-plotly-plot')].some(plot =>"
    " plot.layout?.xaxis?.title?.text?.includes('optimiser steps') &&"
    " (plot.data || []).some(trace => trace.mode === 'lines+markers' && trace.x?.length))"
)
BELOW = "one => one.getBoundingClientRect().bottom > innerHeight"


class Newcomer:
    """A page, and what was done in it."""

    def __init__(self, page: Page):
        self.page, self.clicks, self.scrolls = page, 0, 0

    def see(self, target):
        """Wait for an element, and scroll to it where it is below the window."""
        target.wait_for(timeout=LIMIT)
        if target.evaluate(BELOW):
            self.scrolls += 1
            target.scroll_into_view_if_needed()

    def click(self, target):
        self.see(target)
        target.click(timeout=LIMIT)
        self.clicks += 1


def play(home: Path) -> dict[str, tuple[int, int, float]]:
    """{step: (clicks, scrolls, seconds since the server's start)}; the steps add up."""
    with browser(1280, 800) as page:
        newcomer, begun = Newcomer(page), time.perf_counter()

        def so_far() -> tuple[int, int, float]:
            return newcomer.clicks, newcomer.scrolls, time.perf_counter() - begun

        with server(home) as address:
            page.goto(address)
            newcomer.see(page.get_by_text("forgot").first)
            done = {"story": so_far()}
            newcomer.click(page.get_by_role("button", name="Do it yourself"))
            page.get_by_role("heading", name="Relevance", exact=True).wait_for(timeout=LIMIT)
            sidebar = page.get_by_test_id("stSidebar")
            sidebar.get_by_text("scored, ").wait_for(timeout=LIMIT)
            newcomer.click(sidebar.get_by_role("link", name="Fine-tune"))
            start = page.get_by_role("button", name="Start tuning")
            newcomer.see(start)
            pressed = time.perf_counter()
            newcomer.click(start)
            page.wait_for_function(POINTS, timeout=LIMIT)
            done["own run"] = so_far()
            done["click on Start to the first point"] = (0, 0, time.perf_counter() - pressed)
    return done


def main():
    with tempfile.TemporaryDirectory() as home:
        done = play(Path(home))
    print(f"{'':<36}{'clicks':>7}{'goal':>6}{'scrolls':>9}{'seconds':>9}")
    for step, (clicks, scrolls, seconds) in done.items():
        goal = GOALS.get(step, "")
        counted = (clicks, goal, scrolls) if step in GOALS else ("", "", "")
        print(f"{step:<36}{counted[0]:>7}{counted[1]:>6}{counted[2]:>9}{seconds:>9.1f}")
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
