"""Pictures of every page from the real app, after the tour: scores, a circuit, a tuning run, the
comparison with the recorded runs.

    python -m benchmarks.screenshots [--out assets/screenshots] [--width 1280] [--dark]
        [--home FOLDER]

The runs are real and take about two minutes. With --home FOLDER they are stored there, and a second
call only takes the pictures.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.browser import Page, browser, go, server, settle

PAGES = {
    "Setup": "setup",
    "Relevance": "relevance",
    "Circuit": "circuit",
    "Fine-tune": "finetune",
    "Compare": "compare",
}
SECTIONS = {  # file -> page, what is pressed, the text that the picture begins with
    "attention": (
        "Relevance",
        ["On a text", "Attention pattern"],
        "What the head takes from each token",
    ),
    "overlap": ("Circuit", ["Overlap", "Labels"], "Look closer"),
}


def wait_until_done(page: Page, home: Path, kind: str, count: int):
    """Until `count` runs of a kind have a result."""
    for _ in range(600):
        if len(list(home.glob(f"runs/*-{kind}-*/result.json"))) >= count:
            break
        page.wait_for_timeout(500)
    page.wait_for_timeout(2500)


def tour(page: Page, home: Path):
    """Make what the pictures show, unless `home` holds it already."""
    page.get_by_role("button", name="Do it yourself").click()
    wait_until_done(page, home, "score", 1)
    if len(list(home.glob("runs/*-finetune-*/result.json"))) >= 1:
        return
    go(page, "Circuit")
    page.get_by_role("button", name="Measure faithfulness against size").click()
    wait_until_done(page, home, "faithfulness", 1)
    go(page, "Fine-tune")
    page.get_by_role("button", name="Start tuning").click()
    wait_until_done(page, home, "finetune", 1)


def shoot(page: Page, out: Path):
    for title, name in PAGES.items():
        page.set_viewport_size({"width": page.viewport_size["width"], "height": 700})
        go(page, title)
        page.wait_for_timeout(2500)
        height = page.evaluate(
            "() => document.querySelector('[data-testid=\"stMain\"]').scrollHeight"
        )
        page.set_viewport_size({"width": page.viewport_size["width"], "height": min(2400, height)})
        settle(page)
        page.wait_for_timeout(1500)
        page.get_by_test_id("stToast").first.wait_for(state="detached")
        page.screenshot(path=out / f"{name}.png")
        print(out / f"{name}.png")


def sections(page: Page, out: Path):
    """Pictures of single sections, from a text down to the page's end."""
    for name, (title, choices, begins) in SECTIONS.items():
        go(page, title)
        main = page.get_by_test_id("stMain")
        for choice in choices:
            main.get_by_role("radio", name=choice).or_(
                main.get_by_role("button", name=choice, exact=True)
            ).first.click()
            settle(page)
        page.set_viewport_size({"width": page.viewport_size["width"], "height": 4000})
        page.wait_for_timeout(2500)
        top = page.get_by_text(begins).first.bounding_box()
        end = page.get_by_test_id("stMainBlockContainer").bounding_box()
        left = main.bounding_box()
        page.screenshot(
            path=out / f"{name}.png",
            clip={
                "x": left["x"],
                "y": top["y"] - 16,
                "width": left["width"],
                "height": end["y"] + end["height"] - top["y"] - 40,
            },
        )
        print(out / f"{name}.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("assets/screenshots"))
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--home", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        home = args.home or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        with server(home.resolve()) as address, browser(args.width, 900, args.dark) as page:
            page.goto(address)
            page.get_by_role("heading", name="Setup", exact=True).wait_for()
            tour(page, home)
            shoot(page, args.out)
            sections(page, args.out)
        if page.errors:
            print("\n".join(["The browser's console says:", *page.errors]))


if __name__ == "__main__":
    main()
