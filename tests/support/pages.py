"""The app in Streamlit's test driver: open a page, read what it shows, press."""

import json
import os
from pathlib import Path

from streamlit.testing.v1 import AppTest

from ctsft.runs import Run
from ctsft.runs.processes import process_start_time
from explorer.session import view as session_view


def charts(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def receipts(app: AppTest) -> str:
    """The marks of receipts on a page, as HTML."""
    bodies = [one.proto.body for one in app.get("html")]
    return "\n".join(body for body in bodies if 'class="receipt"' in body)


def press(app: AppTest, label: str) -> AppTest:
    return shown(next(button for button in app.button if button.label == label).click().run())


APP = Path(__file__).parents[2] / "explorer" / "main.py"


def spec(at: AppTest, n: int = -1) -> dict:
    return json.loads(at.get("plotly_chart")[n].proto.spec)


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.markdown, *at.caption, *at.info, *at.error])


def button(at: AppTest, label: str):
    buttons = [one for one in at.button if one.label == label]
    return buttons[0] if buttons else None


REGISTERED: dict = {}  # the explorer's pages, as a first run registers them


def first_run(app: AppTest, page: str) -> AppTest:
    """The session begins on this page, as in a browser that opens its address. (The test driver
    alone begins on Setup, whose figures most tests do not need.)
    """
    if not REGISTERED:
        REGISTERED.update(AppTest.from_file(str(APP), default_timeout=60).run()._registered_pages)
    app._registered_pages = REGISTERED
    return app.switch_page(page).run()


def visit(view: session_view.View, page: str = "finetune/page.py") -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.session_state["view"] = view
    return first_run(at, page)


def followed(page: str, query: dict) -> AppTest:
    """A new session that opens a link."""
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params.update(query)
    return shown(first_run(app, f"{page}/page.py"))


def alive() -> tuple[int, float]:
    return os.getpid(), process_start_time(os.getpid())


def at_work(run: Run, **status):
    """Write the run's status as if this process were still at it."""
    pid, started = alive()
    process = {"state": "running", "pid": pid, "pid_started": started}
    file = run.file("status.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | process | status))


def shown(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def chart(app: AppTest, at=0) -> dict:
    return json.loads(app.get("plotly_chart")[at].proto.spec)


def metric(app: AppTest, label: str) -> str:
    return next(one.value for one in app.metric if one.label == label)


def widget(kind, label: str):
    return next(one for one in kind if one.label.startswith(label))
