"""Many visitors at once: errors, the server's memory over time, and how long pages take to answer.

    python -m benchmarks.load [--walkers 20] [--browsers 2] [--seconds 120] [--churn 80]
                              [--runs 1000] [--rows 100000]

walk      sessions that go through the pages side by side, with a pause of a few seconds at each.
          `--browsers` of the `--walkers` are windows of one Chromium, which draw every page; the
          others speak Streamlit's protocol over a websocket, as a page does, and draw nothing
churn     sessions that come, open two pages, and leave, eight at a time
compare   the Compare page with `--runs` run folders (made here; their figures are random), opened
          again and again by one session
upload    a table of `--rows` rows, uploaded on Setup in the browser, mapped and saved as a task

One server for all of it, with a finished scoring run of the bundled model (random scores). Memory
is what the server's process holds resident. It is flat where it does not grow between the middle
and the end of the walk, and between the middle and the end of the churn.
"""

import argparse
import csv
import itertools
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from playwright.sync_api import Page

from benchmarks.bench_compare import make
from benchmarks.browser import chrome, go, server, settle, unfold, visitor
from benchmarks.load_client import Memory, Visitor
from benchmarks.ui_scenes import scored_home

PAGES = ("Setup", "Relevance", "Circuit", "Fine-tune", "Compare")
PAUSE = (3.0, 7.0)  # seconds a walking visitor looks at a page
AT_ONCE = 8  # sessions of the churn side by side
REPEATS = 10  # of Compare
LABELS = ("negative", "neutral", "positive")
MB = 1e6


@dataclass
class Answers:
    """What one part of the load measured."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)  # bytes: before, at the middle, at the end

    def take(self, open_page: Callable[[], float | None]):
        began = time.perf_counter()
        try:
            answer = open_page()
            self.seconds.append(time.perf_counter() - began if answer is None else answer)
        except Exception as error:  # every kind counts, whatever the part of the load
            self.errors.append(f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")


def walk(
    address: str, seconds: float, walkers: int, browsers: int, memory: Memory
) -> dict[str, Answers]:
    """The answers to sessions that draw nothing, and to windows that do."""
    answers, drawn = Answers(memory=[memory.now()]), Answers()
    end = time.monotonic() + seconds

    def protocol(number: int):
        pauses = random.Random(number)
        time.sleep(pauses.uniform(0, PAUSE[1]))
        one = Visitor(address)
        try:
            answers.take(one.open)
            for title in itertools.cycle(PAGES[1:] + PAGES[:1]):
                if time.monotonic() > end:
                    break
                answers.take(lambda: one.open(title))  # noqa: B023
                time.sleep(pauses.uniform(*PAUSE))
        finally:
            answers.errors.extend(one.errors)
            one.close()

    def windows():
        with chrome() as program:
            pages = [visitor(program, still=False) for _ in range(browsers)]
            for page in pages:
                drawn.take(lambda: first_page(page, address))  # noqa: B023
            for title in itertools.cycle(PAGES[1:] + PAGES[:1]):
                for page in pages:
                    if time.monotonic() > end:
                        drawn.errors.extend(error for page in pages for error in page.errors)
                        return
                    drawn.take(lambda: go(page, title))  # noqa: B023
                pages[0].wait_for_timeout(1000 * PAUSE[0])

    def middle():
        time.sleep(seconds / 2)
        answers.memory.append(memory.now())

    threads = [threading.Thread(target=protocol, args=(i,)) for i in range(walkers - browsers)]
    threads += [threading.Thread(target=middle)]
    threads += [threading.Thread(target=windows)] if browsers else []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.memory.append(memory.now())
    return {"walk, protocol": answers} | ({"walk, Chromium": drawn} if browsers else {})


def first_page(page: Page, address: str):
    page.goto(address)
    page.get_by_role("heading", name="Setup", exact=True).wait_for()
    settle(page)


def churn(address: str, sessions: int, memory: Memory) -> Answers:
    answers = Answers(memory=[memory.now()])

    def visit(number: int):
        one = Visitor(address)
        try:
            answers.take(one.open)
            answers.take(lambda: one.open(PAGES[1 + number % 4]))
        finally:
            answers.errors.extend(one.errors)
            one.close()

    for half in (range(sessions // 2), range(sessions // 2, sessions)):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(visit, half))
        answers.memory.append(memory.now())
    return answers


def compare(address: str, memory: Memory) -> Answers:
    answers, one = Answers(memory=[memory.now()]), Visitor(address)
    answers.take(one.open)
    answers.seconds.clear()
    for i in range(REPEATS):
        answers.take(lambda: one.open("Compare"))
        if i == REPEATS // 2:
            answers.memory.append(memory.now())
    answers.errors.extend(one.errors)
    one.close()
    answers.memory.append(memory.now())
    return answers


def upload(address: str, folder: Path, rows: int, memory: Memory) -> Answers:
    answers, path = Answers(memory=[memory.now()]), folder / "indonesian-train.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([f"teks nomor {i} yang bagus", LABELS[i % 3]] for i in range(rows))

    def mapped(page: Page):
        page.locator("input[type=file][multiple]").set_input_files([path])
        page.get_by_text(f"{rows:,} rows").first.wait_for()
        page.get_by_text("The first prompts of").wait_for()
        settle(page)

    def used(page: Page):
        page.get_by_role("button", name="Use this task").click()
        page.get_by_text("Rows of each label").first.wait_for()
        settle(page)

    with chrome() as program:
        page = visitor(program, 1280, 1600, still=False)
        first_page(page, address)
        unfold(page)
        page.get_by_text("Your tables").click()
        settle(page)
        answers.take(lambda: mapped(page))
        answers.memory.append(memory.now())
        answers.take(lambda: used(page))
        answers.errors.extend(page.errors)
    answers.memory.append(memory.now())
    return answers


def server_process() -> int:
    """The pid of the server that this process started."""
    children = psutil.Process().children()
    return next(child.pid for child in children if "streamlit" in child.cmdline())


def table(parts: dict[str, Answers]) -> str:
    lines = [
        "| part | answers | errors | median | slowest | memory before, middle, end |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for name, part in parts.items():
        median = f"{statistics.median(part.seconds):.2f} s" if part.seconds else ""
        slowest = f"{max(part.seconds):.2f} s" if part.seconds else ""
        memory = ", ".join(f"{reading / MB:.0f}" for reading in part.memory)
        lines.append(
            f"| {name} | {len(part.seconds)} | {len(part.errors)} | {median} | {slowest} |"
            f" {f'{memory} MB' if memory else ''} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--walkers", type=int, default=20)
    parser.add_argument("--browsers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--churn", type=int, default=80)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = scored_home(Path(name) / "home")
        make(home, args.runs)
        with server(home) as address:
            memory = Memory(server_process())
            warm = Visitor(address)
            for title in ("", *PAGES):
                warm.open(title)
            warm.close()
            with memory.watched():
                parts = walk(address, args.seconds, args.walkers, args.browsers, memory) | {
                    "churn": churn(address, args.churn, memory),
                    "compare": compare(address, memory),
                    "upload": upload(address, Path(name), args.rows, memory),
                }
    print(table(parts))
    for name, part in parts.items():
        for error in dict.fromkeys(part.errors):
            print(f"{name}: {error}")
    peak = max(reading for _, reading in memory.readings)
    every = max(1, len(memory.readings) // 12)
    timeline = " ".join(f"{at:.0f}s:{held / MB:.0f}" for at, held in memory.readings[::every])
    print(f"Memory in MB: {timeline}; at most {peak / MB:.0f}.")
    load = ", ".join(f"{one:.1f}" for one in psutil.getloadavg())
    print(f"{psutil.cpu_count()} cores; load of the machine over 1, 5 and 15 minutes: {load}.")
    raise SystemExit(1 if any(part.errors for part in parts.values()) else 0)


if __name__ == "__main__":
    main()
