"""The Relevance page of a tiny model, and its finished runs."""

from streamlit.testing.v1 import AppTest

from ctsft import runs
from ctsft.jobs import scoring as work
from explorer.session.requests import score_request
from explorer.session.view import View
from support.pages import APP, first_run, shown

SIZE = 12


def opened(view: View, section: str = "Head") -> AppTest:
    """The page with a section beside the map."""
    view.section = section
    app = AppTest.from_file(APP, default_timeout=60)
    app.session_state["view"] = view
    app.session_state["measured"] = set()
    return shown(first_run(app, "relevance/page.py"))


def scored(view: View, preview: bool = False) -> runs.Run:
    """A finished run of the view's settings, made by the job itself."""
    request = score_request(view).model_copy(update={"preview": preview})
    with runs.record(request) as run:
        work.score(run, request)
    return run
