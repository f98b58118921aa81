"""The explorer's server: `streamlit run explorer/app.py` and `ctsft ui` start this file, which
serves the pages of main.py behind the checks of guard.py.
"""

import sys
from pathlib import Path

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route
from streamlit.starlette import App

ROOT = str(Path(__file__).resolve().parents[1])  # the folder of both packages
if ROOT not in sys.path:  # Streamlit adds only the folder of this file
    sys.path.insert(0, ROOT)

from explorer.guard import Guard  # noqa: E402


def first_page(request: Request) -> RedirectResponse:
    """Streamlit serves the first page at / only, and would call /setup a page that is not there."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/{query}")


AROUND = {"routes": [Route("/setup", first_page)], "middleware": [Middleware(Guard)]}
app = App(Path(__file__).resolve().with_name("main.py"), **AROUND)
