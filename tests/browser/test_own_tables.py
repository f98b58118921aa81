"""Own tables in a real browser: dropped, mapped, previewed, saved and scored; whatever they hold
is text, on the page and in hovers.
"""

import csv
import re
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.browser import go, settle, unfold, visitor

CORPUS = Path(__file__).parents[2] / "assets" / "demo" / "corpus"
NASTY = (
    '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><a'
    ' href="http://elsewhere.invalid">x</a>'
)

MARKDOWN = "![x](http://elsewhere.invalid/a.png) [l](http://elsewhere.invalid) :red[y]"


@pytest.fixture
def tables(tmp_path) -> list[Path]:
    """The demo's rows under other column names, every one with HTML in it; column "score" holds 0,
    1, 2.
    """
    paths = []
    for language in ("indonesian", "javanese"):
        rows = list(csv.DictReader((CORPUS / language / "train.csv").open(encoding="utf-8")))
        path = tmp_path / f"{language}-train.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["review text", "score"])
            writer.writerows(
                [
                    f"<b>{row['text']}</b>" + NASTY * (i < 3),
                    ["negative", "neutral", "positive"].index(row["label"]),
                ]
                for i, row in enumerate(rows)
            )
        paths.append(path)
    return paths


def harmless(page) -> bool:
    """No foreign element came to life."""
    return page.evaluate(
        """() => window.pwned === undefined
        && !document.querySelector('img[src="x"], img[src*="elsewhere"], a[href*="elsewhere"]')
        && ![...document.querySelectorAll('script')].some(
            one => one.textContent.includes('pwned=1'))"""
    )


def fill(page, label: str, text: str):
    field = page.get_by_label(label, exact=True)
    field.fill(text)
    field.press("Enter")
    page.wait_for_timeout(700)
    settle(page)


def test_own_tables_from_the_drop_to_the_map(shared_home, address, program, tables):
    page = visitor(program, 1280, 1600)
    with closing(page.context):
        page.goto(address)
        page.get_by_role("heading", name="Setup", exact=True).wait_for()
        settle(page)
        unfold(page)
        page.get_by_text("Your tables").click()
        page.locator("input[type=file][multiple]").set_input_files(tables)
        page.get_by_text("indonesian-train.csv").first.wait_for()
        page.get_by_text("The first prompts of").wait_for()
        settle(page)
        use = page.get_by_role("button", name="Use this task")
        assert page.get_by_label("Prompt", exact=True).input_value() == "{review_text} | score:"
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        fill(page, "Prompt", MARKDOWN)
        page.get_by_text("names no column").first.wait_for()
        assert harmless(page) and not any("elsewhere.invalid/a.png" in url for url in asked)
        assert page.get_by_text("![x](").count() > 0, "an error shows the text that it quotes"
        fill(page, "Prompt", "{review_text} | sentiment:")
        for value, word in (("0", "negative"), ("1", "neutral"), ("2", "overwhelming")):
            fill(page, f"“{value}”", word)
        page.get_by_text("tokens for this model, but a label must be one").wait_for()
        assert (
            use.is_disabled()
            and page.locator("[data-testid=stMarkdown]", has_text="│").count() >= 1
        )
        fill(page, "“2”", "positive")
        page.wait_for_function(
            "() => !document.body.innerText.includes('a label must be one known')"
        )
        assert harmless(page)
        use.click()
        page.get_by_text("Rows of each label").first.wait_for()
        settle(page)
        saved = list((shared_home / "tasks").glob("*/task.json"))
        assert len(saved) == 1 and harmless(page)
        assert page.get_by_text("<b>").count() > 0, "HTML of a table stands there as text"

        go(page, "Relevance")
        page.get_by_text("Scoring settings").click()
        page.wait_for_timeout(700)
        fill(page, "Examples", "9")
        # the estimate is about them: the page stands still again
        page.get_by_text(re.compile("9 texts")).first.wait_for()
        settle(page)
        page.get_by_role("button", name="Score heads").click()
        page.get_by_test_id("stSidebar").get_by_text(
            re.compile("scoring|queued|scored, 9")
        ).wait_for()
        page.get_by_test_id("stSidebar").get_by_text("scored, 9 examples").wait_for(timeout=300_000)
        page.locator(".js-plotly-plot").first.wait_for()
        settle(page)
        strip = page.locator(
            ".js-plotly-plot", has=page.locator(".gtitle", has_text="Score on each example")
        )
        strip.locator(".scatterlayer .point").first.wait_for(state="attached")
        strip.scroll_into_view_if_needed()
        strip.locator(".scatterlayer .point").first.hover(force=True)
        page.locator(".hoverlayer .hovertext").first.wait_for()
        assert "<b>" in strip.locator(".hoverlayer").text_content(), (
            "a hover shows the tag, and does not make the text bold"
        )
        assert harmless(page) and page.errors == []
