"""The Setup page, opened with settings; its errors."""

from streamlit.testing.v1 import AppTest

from explorer.session.view import View
from support.pages import APP


def opened(**fields) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.session_state["view"] = View(**fields)
    return app.run()


def errors(app: AppTest) -> list[str]:
    """The sentences that the page shows as errors."""
    assert not app.exception, app.exception
    return [error.value for error in app.error]
