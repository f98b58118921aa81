"""The explorer's server: `streamlit run explorer/app.py` and `ctsft ui` start this file, which
serves the pages of main.py behind the checks of guard.py.
"""

import logging
import sys
import threading
from importlib import import_module
from pathlib import Path

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route
from streamlit import file_util
from streamlit.starlette import App

ROOT = str(Path(__file__).resolve().parents[1])  # the folder of both packages
if ROOT not in sys.path:  # Streamlit adds only the folder of this file
    sys.path.insert(0, ROOT)

from explorer.guard import Guard  # noqa: E402

# what the first screen needs, imported while the browser opens
FIRST_SCREEN = ("explorer.sidebar", "explorer.session.warm", "explorer.setup.recorded_story")


def import_first_screen():
    try:
        for name in FIRST_SCREEN:
            import_module(name)
    except Exception:  # the page meets the error, too, and says it
        logging.getLogger(__name__).exception("the first screen could not be imported")


def first_page(request: Request) -> RedirectResponse:
    """Streamlit serves the first page at / only, and would call /setup a page that is not there."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/{query}")


def further_page(request: Request) -> HTMLResponse:
    """Streamlit's page, which is told where its server is. By itself it would look below its own
    address first, and each page opened by its address would log two errors in the console.
    """
    html = Path(file_util.get_static_dir(), "index.html").read_text(encoding="utf-8")
    return HTMLResponse(html.replace("<head>", HEAD, 1), headers={"Cache-Control": "no-cache"})


FURTHER_PAGES = ("relevance", "circuit", "finetune", "compare")
# the address of the folder that the page's address lies in: a proxy may have put others before it
HEAD = (
    "<head><script>window.__streamlit = {BACKEND_BASE_URL: location.origin +"
    " location.pathname.replace(/\\/[^/]*$/, '')}</script>"
)
AROUND = {
    "routes": [
        Route("/setup", first_page),
        *(Route(f"/{name}", further_page) for name in FURTHER_PAGES),
    ],
    "middleware": [Middleware(Guard)],
}
threading.Thread(target=import_first_screen, daemon=True).start()
app = App(Path(__file__).resolve().with_name("main.py"), **AROUND)
