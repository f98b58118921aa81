"""Files that come out of Compare in a real browser: each format of a chart, and the report, which
opens without a network.
"""

from contextlib import closing
from pathlib import Path

from benchmarks.browser import go, settle, visitor
from ctsft.runs import notes
from ctsft.runs.folder import Run

NASTY = "<script>window.pwned=1</script><b>mine</b>"


def downloaded(page, folder: Path, button) -> Path:
    with page.expect_download() as coming:
        button.click()
    path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path


def test_every_format_of_a_chart_and_the_report(tmp_path, shared_home, address, program):
    notes.save_note(
        next(Run(path) for path in sorted((shared_home / "runs").glob("*-finetune-*"))),
        NASTY,
        NASTY,
    )
    page = visitor(program, 1280, 1600, dark=True)
    with closing(page.context):
        page.goto(address)
        page.get_by_role("heading", name="Setup", exact=True).wait_for()
        go(page, "Compare")
        page.locator(".st-key-chart-tradeoff .js-plotly-plot .main-svg").first.wait_for()
        settle(page)
        page.locator(".st-key-chart-tradeoff").get_by_role("button", name="Export").click()
        files = {
            kind: downloaded(page, tmp_path, page.get_by_role("button", name=kind, exact=True))
            for kind in ("PNG", "SVG", "HTML", "CSV")
        }
        assert {path.name for path in files.values()} == {
            "frontier.png",
            "frontier.svg",
            "frontier.html",
            "frontier.csv",
        }
        assert (
            files["PNG"].read_bytes().startswith(b"\x89PNG")
            and files["PNG"].stat().st_size > 10_000
        )
        picture = files["SVG"].read_text(encoding="utf-8")
        assert picture.lstrip().startswith("<svg") and "Circuit (6 heads)" in picture
        assert "rgb(255, 255, 255)" in picture, "dark on white in the dark theme too"
        assert files["CSV"].read_text(encoding="utf-8").count("\n") > 8
        page.keyboard.press("Escape")
        report = downloaded(page, tmp_path, page.get_by_role("button", name="Report (HTML)"))
        assert page.errors == []
        reader = page.context.browser.new_context(offline=True).new_page()
        requests, wrong = [], []
        reader.on("request", lambda request: requests.append(request.url))
        reader.on(
            "console",
            lambda message: wrong.append(message.text) if message.type == "error" else None,
        )
        for path, figures in ((files["HTML"], 1), (report, 2)):
            requests.clear()
            reader.goto(path.as_uri())
            reader.wait_for_function(
                f"() => document.querySelectorAll('.js-plotly-plot .main-svg').length >= {figures}"
            )
            assert (
                requests == [path.as_uri()]
                and wrong == []
                and reader.evaluate("() => window.pwned === undefined")
            )
        assert (
            NASTY in reader.locator("main").inner_text() and reader.locator("main b").count() == 0
        )
        assert reader.evaluate(
            "() => [...document.querySelectorAll('h1, h2')].map(one => one.tagName).join(' ')"
        ).startswith("H1 H2 H2")
