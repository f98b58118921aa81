"""How fast a tuning run shows itself on Fine-tune: the first point of its curve, and the accuracies
of another share of its change. Used by `benchmarks.bench_ui`.
"""

import time
from pathlib import Path

from benchmarks.browser import Page, browser, server, settle
from benchmarks.newcomer import LIMIT, POINTS

# Resolves with the milliseconds between a key and the first frame with other accuracies.
WATCH = """() => {
    const shown = () => [...document.querySelectorAll('[data-testid=stMetricValue]')]
        .map(value => value.innerText).join()
    const before = shown()
    window.answer = new Promise((done, late) => {
        setTimeout(() => late(new Error('no answer in 30 s')), 30000)
        let pressed = null
        addEventListener('keydown', () => pressed = performance.now(), {capture: true, once: true})
        const look = () => pressed && shown() !== before ? done(performance.now() - pressed)
            : requestAnimationFrame(look)
        look()
    })
}"""


def run_times(home: Path, moves: int) -> dict[str, list[float]]:
    """Seconds from the click on *Start tuning* to the first point (once), and from a key on the
    slider of shares to the accuracies of that share (`moves` times). `home` has scores.
    """
    with server(home) as address, browser(1280, 900) as page:
        page.goto(f"{address}/finetune?epochs=4&labelled=24")
        start = page.get_by_role("button", name="Start tuning")
        start.wait_for(timeout=LIMIT)
        settle(page)
        page.wait_for_timeout(10_000)  # the server imports what runs need behind the scenes
        pressed = time.perf_counter()
        start.click()
        page.wait_for_function(POINTS, timeout=LIMIT)
        first = time.perf_counter() - pressed
        slider = page.get_by_role("slider", name="Share of the change")
        slider.wait_for(timeout=LIMIT)
        settle(page)
        slider.focus()
        answers = [press(page, ("Home", "End")[i % 2]) for i in range(moves + 1)]
    return {"first live point": [first], "share of the change": answers[1:]}  # one warms up


def press(page: Page, key: str) -> float:
    page.evaluate(WATCH)
    page.keyboard.press(key)
    seconds = page.evaluate("() => window.answer") / 1000
    settle(page)
    return seconds
