"""Tables of the user on Setup: assigned by the widgets, refused while a label is two tokens,
saved and used as the task of the session.
"""

import csv
import io
import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ctsft.data.registry import load_task
from explorer.session.view import View
from support.pages import APP
from support.tasks import cued

LABELS = {"negative": "0", "neutral": "1", "positive": "2"}


def table(n: int, seed: int, **more) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["review text", "stars", *more])
    writer.writerows(
        [f"<b>{row.text}</b>", LABELS[row.label], *more.values()] for row in cued(n, seed)
    )
    return out.getvalue().encode()


@pytest.fixture
def app(folders) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    name = str(folders["qwen2"])
    app.session_state["view"] = View(model_kind="folder", folder=name, model=name, task_kind="own")
    return ran(app.run())


def ran(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def dropped(app: AppTest, *files) -> AppTest:
    app.file_uploader(key="own_files").set_value(list(files))
    ran(app.run())
    if any(box.key == "w_own_label" for box in app.selectbox):
        ran(app.selectbox(key="w_own_label").set_value("stars").run())
    return app


def button(app: AppTest):
    return next(one for one in app.button if one.label == "Use this task")


def answer(app: AppTest, **words):
    for value, word in words.items():
        ran(app.text_input(key=f"own_word_stars_{value[1:]}").set_value(word).run())


def test_an_empty_page_says_what_to_do(app):
    assert any("Upload one or more files" in caption.value for caption in app.caption) and not any(
        one.label == "Use this task" for one in app.button
    )
    assert any("is still in use until you press" in info.value for info in app.info)


def test_from_files_to_a_task(app, home):
    dropped(
        app,
        ("javanese-train.csv", table(30, 0), "text/csv"),
        ("indonesian-dev.csv", table(12, 1), "text/csv"),
    )
    assert app.text_input(key="w_own_prompt").value == "{review_text} | stars:"
    ran(app.text_input(key="w_own_prompt").set_value("{review_text} | sentiment:").run())
    answer(app, _0="negative", _1="unlikely", _2="positive")
    assert button(app).disabled and any(
        "unlikely" in error.value and "one known token" in error.value for error in app.error
    )
    assert any(":red-badge[" in text.value and "│" in text.value for text in app.markdown)
    answer(app, _1="neutral")
    assert not button(app).disabled and not any("known token" in error.value for error in app.error)
    ran(app.selectbox(key="w_own_source").set_value("indonesian").run())
    assert (
        sum(
            f"<b>{row.text}</b> | sentiment:" in [code.value for code in app.code]
            for row in cued(12, 1)
        )
        == 3
    )
    ran(app.text_input(key="w_own_name").set_value("../my task").run())
    ran(button(app).click().run())
    view = app.session_state["view"]
    (task_file,) = (home / "tasks").glob("*/task.json")
    assert (
        Path(view.task) == task_file
        and view.task_kind == "file"
        and (view.source, view.target) == ("indonesian", "javanese")
    )
    assert task_file.parent.name == "my-task" and json.loads(task_file.read_text())["labels"] == [
        "negative",
        "neutral",
        "positive",
    ]
    assert len(load_task(task_file).load("javanese", "train")) == 30 and load_task(
        task_file
    ).splits("indonesian") == ["valid"]


def test_one_file_with_a_column_of_languages(app):
    dropped(
        app,
        ("all.csv", table(9, 0, lang="jv") + table(9, 1, lang="en").split(b"\n", 1)[1], "text/csv"),
    )
    ran(app.selectbox(key="w_own_column").set_value("lang").run())
    answer(app, _0="negative", _1="neutral", _2="positive")
    assert app.selectbox(key="w_own_source").options == ["en", "jv"] and not button(app).disabled


def test_a_file_that_cannot_be_read_leaves_the_others(app):
    dropped(app, ("bad.jsonl", b"{", "application/json"), ("a.csv", table(12, 0), "text/csv"))
    assert any("bad.jsonl could not be read" in error.value for error in app.error)
    assert any("a\\.csv" in text.value for text in app.markdown)


def test_a_wrong_prompt_is_one_sentence(app):
    dropped(app, ("a.csv", table(12, 0), "text/csv"))
    answer(app, _0="negative", _1="neutral", _2="positive")
    for prompt, says in (
        ("{stars}", "the label itself"),
        ("plain", "names no column"),
        ("{title}:", "no column"),
    ):
        ran(app.text_input(key="w_own_prompt").set_value(prompt).run())
        assert any(says in error.value for error in app.error), prompt
        assert not any(one.label == "Use this task" for one in app.button)


def test_the_dialect_is_named_and_labels_can_be_left_out(app):
    rows = "".join(f"{row.text}; so, so;{row.label}\n" for row in cued(30, 0))
    text = "texts;extra;stars\n" + rows + "what;ever;unclear\n;;\n"
    dropped(app, ("a.csv", text.encode("utf-8-sig"), "text/csv"))
    assert any("cells separated by semicolons" in text.value for text in app.markdown)
    left_out = next(box for box in app.multiselect if box.label == "Labels to leave out")
    ran(left_out.set_value(["unclear", ""]).run())
    assert not app.error and not button(app).disabled
    assert any("All rows are of one language" in info.value for info in app.info)
    assert not any("stand in the validation" in one.value for one in app.warning)
    ran(button(app).click().run())
    view = app.session_state["view"]
    task = load_task(view.task)
    rows = [row for split in task.splits(view.source) for row in task.load(view.source, split)]
    assert len(rows) == 30 and set(task.labels) == {"negative", "neutral", "positive"}


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", b"text,stars\ngood, but slow,1\nbad, but fast,2\n", "line 2 has 3 cells"),
        ("a.jsonl", b'{"text": "a", "stars": 0}\n{"text": null, "stars": 1}\n', "row 2 (line 2)"),
        ("a.jsonl", b'{"text": "a", "stars": 0}\n{"text": "b"}\n', "row 2 (line 2)"),
        ("a.csv", b"text,text\na,b\n", "two of its columns are named"),
    ],
)
def test_a_table_that_cannot_be_right_is_one_sentence(app, name, data, says):
    dropped(app, (name, data, "text/csv"))
    assert any(says in error.value for error in app.error), [one.value for one in app.error]
    assert not any(one.label == "Use this task" for one in app.button)


def test_texts_on_both_sides_are_named(app):
    dropped(
        app,
        ("jv-train.csv", table(12, 0), "text/csv"),
        ("jv-test.csv", table(6, 0), "text/csv"),
    )
    assert any("stand in the validation or test rows" in one.value for one in app.warning)
