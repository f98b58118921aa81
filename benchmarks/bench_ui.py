"""How fast does the explorer answer in a real browser? Printed as a table and written to a file.

    python -m benchmarks.bench_ui [--out bench_ui.json] [--moves 9] [--only WORD]

cold start   from the start of the server's process to the first head map of the bundled model on
             screen, the browser being open: with the scores
             in the run folder, and without any (the preview's map, and the map of the final scores)
first screen from the start of the server's process to the first screen: the recorded runs are
             drawn, and *Do it yourself* can be clicked; beside it the time of
             `python -c "import torch, transformers"`, which the screen does not wait for
drag         from an input event on the line under the map to the end of the frame in which
             outlines and counter show the new circuit, computed in the browser
release      from the release of the line to the table (the pixels of its first rows) that shows
             the new circuit too: the server's answer
click        from the click on a head of the map to its new outline and the counter
run          from the click on *Start tuning* to the first point of the curve, and from a key on the
             slider of shares to the accuracies of that share

The models of 12 x 12 and 32 x 32 heads are random and have random scores in a finished run folder:
only answering and drawing are measured. Medians and the slowest of the moves; the load of the
machine stands beside them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.browser import Page, browser, server, settle
from benchmarks.run_times import run_times
from benchmarks.ui_scenes import scored_home, scored_model

GOALS = {
    "first screen": 4.0,
    "cold start, scores stored": 20.0,
    "cold start, nothing stored": 60.0,
    "drag, 12 x 12": 0.05,
    "release, 12 x 12": 0.3,
    "click, 12 x 12": 0.05,
    "drag, 32 x 32": 0.05,
    "release, 32 x 32": 1.0,
    "click, 32 x 32": 0.05,
    "first live point": 3.0,
    "share of the change": 0.15,
}
SHAPES = ((12, 12), (32, 32))
WATCH = Path(__file__).with_name("answer_time.js").read_text(encoding="utf-8")
WATCH_DRAG = Path(__file__).with_name("drag_time.js").read_text(encoding="utf-8")
DRAG_STEPS = 40  # movements of the mouse


def first_map(page: Page, address: str):
    page.goto(address)  # a click on Relevance scores the bundled model; its address does not
    page.get_by_test_id("stSidebar").get_by_role("link", name="Relevance").click()
    page.locator("[class*=st-key-map-] .js-plotly-plot .scatterlayer").first.wait_for(
        timeout=180_000
    )


def first_screen(home: Path) -> float:
    """Seconds to the drawn panels and the button below them."""
    with browser() as page:
        begun = time.perf_counter()
        with server(home) as address:
            page.goto(address)
            page.get_by_role("button", name="Do it yourself").wait_for(timeout=180_000)
            page.locator(".curve-panel svg").nth(1).wait_for(timeout=180_000)
            return time.perf_counter() - begun


def importing() -> float:
    """Seconds that a process takes to import the libraries."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, transformers"], check=True)
    return time.perf_counter() - begun


def cold_start(home: Path) -> dict[str, float]:
    """Seconds to the first map, and to the map of the final scores."""
    with browser() as page:
        begun = time.perf_counter()
        with server(home) as address:
            first_map(page, address)
            first = time.perf_counter() - begun
            page.get_by_test_id("stSidebar").get_by_text("scored, 50 examples").wait_for(
                timeout=180_000
            )
            settle(page)
            return {"first": first, "final": time.perf_counter() - begun}


def open_circuit(page: Page, address: str, folder: Path):
    """The Circuit page of a model folder, ruled by a threshold."""
    page.goto(
        f"{address}/circuit?{urlencode({'model': folder, 'rule': 'threshold', 'level': 0.7})}"
    )
    page.locator(".score-strip .track").wait_for()
    page.locator(".js-plotly-plot .nsewdrag").first.wait_for()
    settle(page)
    page.wait_for_timeout(2000)


def release(page: Page, share: float) -> float:
    """Seconds after the line was released at a share of its way."""
    x, y = place(page, share)
    page.evaluate(WATCH, True)
    page.mouse.click(x, y)
    return answered(page)


def place(page: Page, share: float) -> tuple[float, float]:
    track = page.locator(".score-strip .track").bounding_box()
    return track["x"] + track["width"] * share, track["y"] + track["height"] * 0.6


def drag(page: Page) -> list[float]:
    """Seconds from each movement of the mouse to the outlines."""
    page.mouse.move(*place(page, 0.02))
    page.mouse.down()
    page.evaluate(WATCH_DRAG)
    for step in range(DRAG_STEPS):
        page.mouse.move(*place(page, 0.02 + 0.9 * (step + 1) / DRAG_STEPS))
        page.wait_for_timeout(30)  # a hand's pace
    page.mouse.up()
    settle(page)
    return [milliseconds / 1000 for milliseconds in page.evaluate("() => window.drags")]


def click(page: Page, head: tuple[int, int], shape: tuple[int, int]) -> float:
    area = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    page.evaluate(WATCH, False)
    page.mouse.click(
        area["x"] + area["width"] * (head[1] + 0.5) / shape[1],
        area["y"] + area["height"] * (head[0] + 0.5) / shape[0],
    )
    return answered(page)


def answered(page: Page) -> float:
    seconds = page.evaluate("() => window.answer") / 1000
    settle(page)
    page.wait_for_timeout(700)
    return seconds


def answers(scratch: Path, shape: tuple[int, int], moves: int) -> dict[str, list[float]]:
    home = scratch / f"home-{shape[0]}"
    folder = scored_model(scratch / "model", home, *shape)
    with server(home) as address, browser(1280, 1100) as page:
        open_circuit(page, address, folder)
        drags = drag(page)
        releases = [release(page, 0.1 + 0.08 * (i % 2) + 0.01 * (i % 5)) for i in range(moves + 1)]
        clicks = [
            click(page, (i % shape[0], (3 * i + 1) % shape[1]), shape) for i in range(moves + 1)
        ]
        if page.errors:
            print("\n".join(["The browser's console says:", *page.errors]))
    # the first of each warms up
    return {"drag": drags[1:], "release": releases[1:], "click": clicks[1:]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="bench_ui.json")
    parser.add_argument("--moves", type=int, default=9)
    parser.add_argument("--only", choices=("first", "cold", "12", "32", "run"))
    args = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if args.only in (None, "first"):
            (scratch / "first").mkdir()
            importing()  # from the disk into memory
            times |= {
                "import torch, transformers": [importing() for _ in range(3)],
                "first screen": [first_screen(scratch / "first") for _ in range(3)],
            }
        if args.only in (None, "cold"):
            stored = cold_start(scored_home(scratch / "stored"))
            (scratch / "empty").mkdir()
            empty = cold_start(scratch / "empty")
            times |= {
                "cold start, scores stored": [stored["first"]],
                "cold start, nothing stored": [empty["first"]],
                "the same, final scores": [empty["final"]],
            }
        for shape in SHAPES:
            if args.only in (None, str(shape[0])):
                answer_times = answers(scratch / str(shape[0]), shape, args.moves)
                times |= {
                    f"{what}, {shape[0]} x {shape[1]}": seconds
                    for what, seconds in answer_times.items()
                }
        if args.only in (None, "run"):
            times |= run_times(scored_home(scratch / "run"), args.moves)
    print(f"{'':<28}{'median':>9}{'slowest':>9}{'goal':>8}")
    for what, seconds in times.items():
        goal = f"{GOALS[what]:g} s" if what in GOALS else ""
        print(f"{what:<28}{statistics.median(seconds):>7.3f} s{max(seconds):>7.3f} s{goal:>8}")
    if "first screen" in times:
        ratio = statistics.median(times["first screen"]) / statistics.median(
            times["import torch, transformers"]
        )
        print(f"the first screen takes {ratio:.2f} of importing torch and transformers")
    load = os.getloadavg()[0]
    print(f"load of the machine at the end: {load:.1f} on {os.cpu_count()} cores")
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(
            {"seconds": times, "goals": GOALS, "load": load, "cores": os.cpu_count()},
            file,
            indent=1,
        )


if __name__ == "__main__":
    main()
