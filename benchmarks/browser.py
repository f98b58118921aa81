"""The explorer in a real browser: start the server with a folder of its own, and open pages in
Debian's Chromium through Playwright.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Browser, Error, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome")
SHELL = "chromium-headless-shell"  # the same engine without the browser's own windows
# milliseconds: a loaded machine needs half a minute to load torch and the model
WAIT = 150_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def chromium() -> str | None:
    """The browser's path; None where none is installed."""
    return next(filter(None, map(shutil.which, (*NAMES, SHELL))), None)


ATTEMPTS = 3  # another program may take the free port before the server does


def answers(address: str, process: subprocess.Popen) -> bool:
    """Wait until the server answers; False where its process ends before, or it takes too long."""
    end = time.monotonic() + WAIT / 1000
    while process.poll() is None and time.monotonic() < end:
        try:
            urlopen(f"{address}/_stcore/health", timeout=2).read()
            return process.poll() is None
        except OSError:
            time.sleep(0.1)
    return False


def end(process: subprocess.Popen):
    """Terminate the process, or kill it in the middle of a long rerun."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def server(home: Path) -> Iterator[str]:
    """The explorer's address while it runs with `home` as CTSFT_HOME; raises RuntimeError with its
    log when it does not come up in time.
    """
    log = home / "server.log"
    command = [sys.executable, "-m", "streamlit", "run", "explorer/app.py", "--server.port"]
    for _ in range(ATTEMPTS):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with open(log, "w") as out:
            process = subprocess.Popen(
                [*command, str(port)],
                cwd=ROOT,
                env={**os.environ, "CTSFT_HOME": str(home)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            address = f"http://127.0.0.1:{port}"
            if answers(address, process):
                yield address
                return
        finally:
            end(process)
    raise RuntimeError(f"The explorer did not come up:\n{log.read_text()}")


@contextmanager
def chrome(path: str | None = None) -> Iterator[Browser]:
    """A browser without a page: the one at `path`, or Chromium."""
    with sync_playwright() as play:
        program = play.chromium.launch(executable_path=path or chromium(), args=FLAGS)
        yield program
        program.close()


def visitor(
    program: Browser, width: int = 1280, height: int = 900, dark: bool = False, still: bool = True
) -> Page:
    """An empty page of a visitor of its own, who prefers reduced motion where it is `still`.
    `page.errors` collects what the browser's console calls an error.
    """
    page = program.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce" if still else "no-preference",
    ).new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))

    def on_console(message):
        if message.type == "error":
            page.errors.append(message.text)

    page.on("console", on_console)
    page.set_default_timeout(WAIT)
    page.add_init_script(LISTEN)
    return page


@contextmanager
def browser(width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Page]:
    """A fresh browser with one empty page."""
    with chrome() as program:
        yield visitor(program, width, height, dark, still=False)


def eventually(page: Page, read: Callable[[], object], wanted: object):
    """Wait until `read()` gives `wanted`: a figure may be drawn again at any moment, so a value
    that is read once may be that of an empty place. Raises AssertionError with the last value.
    """
    end, value = time.monotonic() + WAIT / 1000, None
    while time.monotonic() < end:
        try:
            value = read()
        except Error as error:  # the element that it reads is just being replaced
            value = error
        if value == wanted:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{value!r} instead of {wanted!r} after {WAIT // 1000} s")


def go(page: Page, title: str):
    """Follow the sidebar to a page and wait until it stands."""
    page.get_by_test_id("stSidebar").get_by_role("link", name=title).click()
    page.get_by_role("heading", name=title, exact=True).wait_for()
    settle(page)


# `window.answered` once the server has sent anything: what it sends quickly does not show in the
# page's state, which a busy browser draws once for several messages
LISTEN = """(() => {
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...given) {
      super(...given);
      this.addEventListener('message', () => { window.answered = true; });
    }
  };
})()"""
TURN = """address => {
  window.answered = false;
  history.pushState({}, '', address);
  dispatchEvent(new PopStateEvent('popstate', {state: {}}));
}"""


def turn(page: Page, address: str):
    """To a view by its address: at once where the explorer is open already, as going forward does
    (what a session has written itself is not applied again), and loaded where it is not.
    """
    if not page.url.startswith("http"):
        page.goto(address)
    else:
        settle(page)  # what the server still sends answers what was done before
        page.evaluate(TURN, address)
        page.wait_for_function("() => window.answered")
        settle(page)


def unfold(page: Page):
    """Open the form of Setup, which is one line at first."""
    page.get_by_text("Model and task:").first.click()
    page.get_by_text("Recent models").or_(page.get_by_text("Hub name")).first.wait_for()
    settle(page)


def settle(page: Page):
    """Wait until the server has finished this rerun: the sign of running comes late, so this
    reads the app's own state, twice.
    """
    for _ in range(2):
        page.wait_for_timeout(200)
        page.wait_for_function(
            "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState ==="
            " 'notRunning'"
        )


def click_head(page: Page, layer: int, head: int, n_layers: int, n_heads: int):
    """Click one cell of the head map."""
    plot = page.locator(".js-plotly-plot").first
    area = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.click(
        area["x"] + area["width"] * (head + 0.5) / n_heads,
        area["y"] + area["height"] * (layer + 0.5) / n_layers,
    )
    settle(page)
