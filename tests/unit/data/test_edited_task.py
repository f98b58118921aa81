"""A built-in task with another prompt and other label words, written as a task file."""

import json

import pytest

from ctsft import load_task
from ctsft.data.edited_task import edited_task, write_edited
from ctsft.utils.errors import UserError

WORDS = {"negative": "bad", "neutral": "fair", "positive": "good"}


def test_the_task_file_uses_the_same_rows_with_the_new_words(tmp_path):
    task = load_task("demo")
    edited = edited_task(task, "{text} It was", WORDS)
    path = write_edited(edited, "demo", "my words", tmp_path)
    again = load_task(str(path))
    rows, before = (one.load("indonesian", "valid") for one in (again, task))
    assert [(row.id, row.text, row.label) for row in rows] == [
        (row.id, row.text, WORDS[row.label]) for row in before
    ]
    assert again.text(rows[0]) == f"{rows[0].text} It was"
    assert (again.labels, again.languages) == (tuple(WORDS.values()), task.languages)
    assert write_edited(edited, "demo", "my words", tmp_path) != path


def test_a_data_folder_still_counts(tmp_path):
    (tmp_path / "english").mkdir()
    (tmp_path / "english" / "test.csv").write_text("id,text,label\n7,fine,positive\n")
    edited = edited_task(load_task("nusax"), "{text} =", WORDS)
    path = write_edited(edited, "nusax", "words", tmp_path)
    (row,) = load_task(str(path), tmp_path).load("english", "test")
    assert (row.id, row.label) == ("7", "good")


def test_renamed_labels_of_the_files_follow(tmp_path):
    xnli = load_task("xnli")
    edited = edited_task(xnli, xnli.prompt, {"entail": "yes"})
    assert edited.rename["entailment"] == edited.rename["entail"] == "yes"
    assert edited.labels == ("yes", "neutral", "contradiction")


@pytest.mark.parametrize(
    ("prompt", "words", "reason"),
    [
        ("{label}:", {}, "the label itself"),
        ("{review}:", {}, "lack"),
        ("{text}", {"negative": " "}, "none of them empty"),
        ("{text}", {"negative": "good", "positive": "good"}, "one of its own"),
    ],
)
def test_what_cannot_be_asked_is_refused(prompt, words, reason):
    with pytest.raises(UserError, match=reason):
        edited_task(load_task("demo"), prompt, words)


def test_only_built_in_tasks_lend_their_rows(tmp_path):
    edited = edited_task(load_task("demo"), "{text} =", WORDS)
    path = write_edited(edited, "demo", "words", tmp_path)
    entries = json.loads(path.read_text()) | {"data": "other"}
    path.write_text(json.dumps(entries))
    with pytest.raises(UserError, match="not a built-in task"):
        load_task(str(path))
