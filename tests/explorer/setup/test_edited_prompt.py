"""Setup: a built-in task with another prompt becomes a task file of one's own."""

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from ctsft import load_task
from explorer.session.view import View
from explorer.setup import accuracy
from support.pages import APP


@pytest.fixture
def app(folders) -> AppTest:
    folder = str(folders["qwen2"])
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.session_state["view"] = View(model_kind="folder", folder=folder, model=folder)
    return app.run()


def buttons(app) -> list:
    return [one for one in app.button if one.label == "Use this prompt"]


def test_an_edited_prompt_is_saved_and_used(app):
    assert not buttons(app), "nothing is edited yet"
    app.text_input(key="edited_prompt_demo").set_value("{text} =").run()
    (use,) = buttons(app)
    use.click().run()
    view = app.session_state["view"]
    assert view.task.endswith("task.json") and view.task_kind == "file"
    task = load_task(view.task)
    assert task.prompt == "{text} =" and task.load("english", "test")
    assert not app.exception


def test_a_prompt_that_names_the_label_is_refused(app):
    app.text_input(key="edited_prompt_demo").set_value("{label} =").run()
    assert not buttons(app) and "the label itself" in app.error[0].value


def test_a_task_that_cannot_be_saved_is_one_sentence(app, home):
    app.text_input(key="edited_prompt_demo").set_value("{text} =").run()
    (home / "tasks").write_text("a file where the folder belongs")
    buttons(app)[0].click().run()
    assert not app.exception and len(app.error) == 1 and "tasks" in app.error[0].value
    assert app.session_state["view"].task == "demo" and buttons(app)


@pytest.mark.parametrize(("never", "warned"), [(("positive",), True), ((), False)])
def test_a_label_that_is_never_answered_is_said_before_scoring(app, monkeypatch, never, warned):
    measure = accuracy.measure
    monkeypatch.setattr(accuracy, "measure", lambda *args: replace(measure(*args), never=never))
    app.run()
    said = [one.value for one in app.warning if "answers positive for none of" in one.value]
    assert bool(said) == warned
    assert not warned or "another prompt" in said[0]
