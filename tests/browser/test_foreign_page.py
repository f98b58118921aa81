"""A page of another server, at another port of this machine: it shows the explorer in no frame,
opens no websocket to it, and starts nothing.
"""

import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.browser import visitor

OPENS = """url => new Promise(done => {
    const line = new WebSocket(url, ['streamlit'])
    line.onopen = () => { line.close(); done(true) }
    line.onerror = () => done(false)
})"""


@pytest.fixture
def foreign(address):
    """The address of a page with three frames of the explorer, and one of its own."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            inside = ("/own", *(f"{address}/{name}" for name in ("relevance", "", "x")))
            frames = "".join(f"<iframe src='{place}'></iframe>" for place in inside)
            body = (frames if self.path == "/" else "own").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{other.server_port}/"
        other.shutdown()


def test_a_foreign_page_neither_shows_nor_drives_the_explorer(
    shared_home, address, program, foreign
):
    page, before = visitor(program), set((shared_home / "runs").iterdir())
    socket = f"{address.replace('http', 'ws')}/_stcore/stream"
    with closing(page.context):
        page.goto(foreign)
        page.wait_for_load_state("networkidle")
        shown = [frame.url for frame in page.frames[1:]]
        assert shown == [f"{foreign}own", *["chrome-error://chromewebdata/"] * 3]
        assert not page.evaluate(OPENS, socket)
        page.goto(address)
        page.get_by_role("heading", name="Setup", exact=True).wait_for()
        assert page.evaluate(OPENS, socket), "the explorer's own page can"
    assert set((shared_home / "runs").iterdir()) == before
