"""Tables that were dropped on Setup outlive the session, within limits, until they are deleted."""

import pytest
from streamlit.testing.v1 import AppTest

from ctsft.utils.errors import UserError
from explorer import guard
from explorer.session import uploads, visitors
from explorer.session.view import View
from support.pages import APP, button, press, shown, texts

TABLE = b"text,label\ngood,positive\nbad,negative\nso so,neutral\n"


@pytest.fixture
def opened(folders):
    """Setup in a new session."""

    def visit(**fields) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=60)
        name = str(folders["qwen2"])
        app.session_state["view"] = View(model_kind="folder", folder=name, model=name, **fields)
        return shown(app.run())

    return visit


def test_dropped_tables_are_there_in_the_next_session(opened):
    app = opened(task_kind="own")
    app.file_uploader(key="own_files").set_value([("english-train.csv", TABLE, "text/csv")])
    shown(app.run())
    assert [path.name for path in uploads.listed()] == ["english-train.csv"]
    app = opened()  # another session, with the bundled task
    app = press(app, "Continue with your tables (1 file)")
    assert "english-train.csv" in texts(app).replace("\\", "") and app.text_input(
        key="w_own_prompt"
    )
    app = press(app, "Delete stored tables")
    assert uploads.listed() == [] and button(app, "Delete stored tables") is None
    assert "Upload one or more files" in texts(app)


def test_a_file_that_leaves_the_upload_leaves_the_folder(opened):
    app = opened(task_kind="own")
    one, two = ("a.csv", TABLE, "text/csv"), ("b.csv", TABLE, "text/csv")
    app.file_uploader(key="own_files").set_value([one, two])
    shown(app.run())
    app.file_uploader(key="own_files").set_value([two])
    shown(app.run())
    assert [path.name for path in uploads.listed()] == ["b.csv"]


def test_limits_and_names(monkeypatch):
    uploads.save("../../x/y.csv", b"1")
    uploads.save("y.csv", b"2")  # takes its place
    assert [(path.name, path.read_bytes()) for path in uploads.listed()] == [("y.csv", b"2")]
    monkeypatch.setattr(uploads, "MOST_BYTES", 3)
    with pytest.raises(UserError, match="not stored for the next visit"):
        uploads.save("z.csv", b"345")
    monkeypatch.setattr(uploads, "MOST_FILES", 1)
    with pytest.raises(UserError, match="at most 1 files"):
        uploads.save("z.csv", b"")


def test_visitors_of_a_shared_server_have_folders_of_their_own(monkeypatch):
    monkeypatch.setattr(guard, "is_shared", lambda: True)
    monkeypatch.setattr(visitors, "mark", lambda: "a" * 64)
    uploads.save("mine.csv", b"1")
    monkeypatch.setattr(visitors, "mark", lambda: "b" * 64)
    assert uploads.listed() == []
    uploads.clear()
    monkeypatch.setattr(visitors, "mark", lambda: "a" * 64)
    assert [path.name for path in uploads.listed()] == ["mine.csv"]
