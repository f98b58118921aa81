"""The first screen of a server that has just started: there at once, completed when the libraries
are imported.
"""

from contextlib import closing

from benchmarks.browser import eventually, server, visitor


def test_the_first_screen_is_completed_behind_the_scenes(tmp_path, program):
    page = visitor(program)
    with server(tmp_path) as address, closing(page.context):
        page.goto(address)
        page.get_by_role("heading", name="Setup", exact=True).wait_for()
        sidebar = page.get_by_test_id("stSidebar")
        sidebar.get_by_text("qwen2, 48 heads").wait_for(timeout=180_000)
        eventually(page, lambda: "…" in sidebar.inner_text(), False)
        assert page.errors == []
