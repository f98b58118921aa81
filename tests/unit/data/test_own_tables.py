"""Tables become a task: columns, labels, languages and splits as they were mapped, the same on disk
as in the preview.
"""

import json

import pandas as pd
import pytest

from ctsft.data.labels import label_tokens
from ctsft.data.own_tables import (
    DRAW_SPLITS,
    TableFile,
    draft_task,
    guess_language_and_split,
    label_values,
    prompt_names,
    repeated_texts,
)
from ctsft.data.registry import load_task
from ctsft.data.tables import read_table
from ctsft.data.task_file import write_task
from ctsft.utils.errors import UserError
from ctsft.utils.file_names import slug

WORDS = {"0": "negative", "1": "positive"}


def frame(n=20, **more) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "review text": [f"tea {i}" for i in range(n)],
            "stars": [str(i % 2) for i in range(n)],
            **more,
        }
    )


def made(**changes):
    settings = {
        "name": "my reviews",
        "prompt": "{review_text} | sentiment:",
        "parts": [TableFile(frame(), "javanese", "train")],
        "label_column": "stars",
        "labels": WORDS,
        "source": "javanese",
    }
    return draft_task(**settings | changes)


def test_a_draft_is_a_task():
    task = made(
        parts=[TableFile(frame(), "javanese", "train"), TableFile(frame(6), "English (UK)")]
    )
    assert task.languages == ("javanese", "English-UK") and task.labels == ("negative", "positive")
    rows = task.load("javanese", "train")
    assert (
        len(rows) == 20
        and task.text(rows[3]) == "tea 3 | sentiment:"
        and rows[3].label == "positive"
    )
    assert task.splits("javanese") == ["train"] and "test" in task.splits("English-UK")


def test_what_is_kept_is_what_was_previewed(tmp_path):
    task = made(parts=[TableFile(frame(40, id=[f"r{i}" for i in range(40)]), "javanese")])
    path = write_task(task, tmp_path / "tasks")
    assert path.parent.name == "my-reviews"
    again = load_task(str(path))
    for split in ("train", "valid", "test"):
        assert again.load("javanese", split) == task.load("javanese", split)
    assert again.prompt == task.prompt and again.labels == task.labels
    # nothing is written over
    assert write_task(task, tmp_path / "tasks").parent.name == "my-reviews-2"


def test_foreign_text_comes_back_as_it_was(tmp_path):
    texts = [
        'say "hi",\nthen go',
        "<script>alert(1)</script>",
        "قهوة, ممتازة",
        "NA",
        "=1+1",
        "a\tb",
    ]
    table = frame(6).assign(**{"review text": texts})
    path = write_task(made(parts=[TableFile(table, "javanese", "train")]), tmp_path)
    assert [row.text for row in load_task(str(path)).load("javanese", "train")] == texts


def test_a_column_may_name_the_language_of_each_row():
    table = frame(8, lang=["jv"] * 4 + ["en"] * 4)
    task = made(parts=[TableFile(table, "", "test", "lang")], source="en")
    assert task.languages == ("en", "jv") and len(task.load("jv", "test")) == 4


def test_ids_that_repeat_are_numbered_anew():
    task = made(parts=[TableFile(frame(4, id=["x"] * 4), "javanese", "train")])
    assert [row.id for row in task.load("javanese", "train")] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("javanese-train.csv", ("javanese", "train")),
        ("XNLI.dev.tsv", ("xnli", "valid")),
        ("validation_english.jsonl", ("english", "valid")),
        ("reviews.csv", ("reviews", DRAW_SPLITS)),
        ("train.csv", ("texts", "train")),
        ("../../etc/passwd.csv", ("passwd", DRAW_SPLITS)),
    ],
)
def test_names_of_files_are_guessed_from(name, expected):
    assert guess_language_and_split(name) == expected


def test_columns_get_names_a_prompt_can_use():
    table = pd.DataFrame([["a"] * 5], columns=["review text", "review-text", "2nd", "", "ok"])
    assert prompt_names(table) == {
        "review text": "review_text",
        "review-text": "review_text_",
        "2nd": "c_2nd",
        "": "column",
        "ok": "ok",
    }


@pytest.mark.parametrize(
    "words, safe",
    [("a/../b", "a-b"), ("..", "task"), ("日本 語", "日本-語"), ("x" * 99, "x" * 60), ("", "task")],
)
def test_names_are_safe_for_a_folder(words, safe):
    assert slug(words, "task") == safe


def test_labels_are_shown_with_their_tokens(tokenizer):
    good, two = label_tokens(tokenizer, ["negative", "unlikely"])
    assert good.single and good.pieces == [" negative"]
    assert not two.single and len(two.pieces) > 1 and "".join(two.pieces) == " unlikely"


@pytest.mark.parametrize(
    "change, says",
    [
        ({"prompt": "{stars}:"}, "the label itself"),
        ({"prompt": "no column"}, "names no column"),
        ({"labels": {"0": "a", "1": " a "}}, "at least two"),
        ({"labels": {"0": "a", "1": ""}}, "none of them empty"),
        ({"source": "english"}, "no rows of the source"),
        ({"label_column": "mood"}, "no column 'mood'"),
        ({"parts": [TableFile(frame(), "", DRAW_SPLITS, "lang")]}, "no column 'lang'"),
    ],
)
def test_a_wrong_mapping_is_one_sentence(change, says):
    with pytest.raises(UserError, match=says):
        made(**change)


def test_a_column_of_texts_is_no_label_column():
    with pytest.raises(UserError, match="holds 30 different values"):
        label_values([frame(30)], "review text")
    assert label_values([frame(), frame(3)], "stars") == ["0", "1"]


def test_a_prompt_that_names_another_column_is_told_when_rows_are_read():
    with pytest.raises(UserError, match="no column 'title'"):
        made(prompt="{title}:").load("javanese", "train")


def test_bytes_are_read_like_files(tmp_path):
    lines = "\n".join(json.dumps({"text": f"t{i}", "label": i % 2}) for i in range(4)).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    assert read_table("a.jsonl", data=lines).equals(read_table(tmp_path / "a.jsonl"))
    with pytest.raises(UserError, match="a.csv holds no rows"):
        read_table("a.csv", data=b"")
    with pytest.raises(UserError, match="UTF-8"):
        read_table("a.csv", data=b"\xff\xfe\x00")


# ---- rows, labels and columns of odd kinds ---------------------------------


def test_identical_texts_are_in_one_split_of_their_language():
    table = frame(60, id=[str(i) for i in range(60)])
    table["review text"] = [f"Tea {i % 20}" if i % 3 else f"tea  {i % 20} " for i in range(60)]
    task = made(parts=[TableFile(table, "javanese")])
    splits = [
        {" ".join(row.text.split()).casefold() for row in task.load("javanese", split)}
        for split in task.splits("javanese")
    ]
    assert len(splits) == 3 and sum(map(len, splits)) == 20
    assert sum(len(task.load("javanese", split)) for split in task.splits("javanese")) == 60


def test_rows_to_split_stay_out_of_the_other_side_of_a_given_split():
    parts = [TableFile(frame(40), "javanese"), TableFile(frame(12), "javanese", "test")]
    task = made(parts=parts)
    texts = {
        split: {row.text for row in task.load("javanese", split)}
        for split in task.splits("javanese")
    }
    assert len(task.load("javanese", "test")) >= 24
    assert not texts["train"] & texts["test"] and not texts["valid"] & texts["test"]


def test_texts_on_both_sides_are_counted():
    parts = [TableFile(frame(12), "javanese", "train"), TableFile(frame(5), "javanese", "test")]
    assert repeated_texts(made(parts=parts)) == {"javanese": 5}
    assert repeated_texts(made(parts=[TableFile(frame(40), "javanese")])) == {}


def test_rows_of_a_label_can_be_left_out(tmp_path):
    table = frame(20).assign(stars=["0", "1", "unclear", ""] * 5)
    # a row that is left out needs no text
    table.loc[2, "review text"] = None
    labels = {**WORDS, "unclear": None, "": None}
    task = made(parts=[TableFile(table, "javanese", "train")], labels=labels)
    rows = load_task(str(write_task(task, tmp_path))).load("javanese", "train")
    assert len(rows) == 10 and {row.label for row in rows} == {"negative", "positive"}
    with pytest.raises(UserError, match="at least two"):
        made(labels={"0": "negative", "1": None})


def jsonl(*rows: dict) -> pd.DataFrame:
    return read_table("a.jsonl", data="\n".join(map(json.dumps, rows)).encode())


@pytest.mark.parametrize("value", [None, ["a"], {"a": 1}, True, float("nan")])
@pytest.mark.parametrize("column", ["review text", "stars", "id"])
def test_a_row_without_text_label_or_id_is_named(value, column):
    good = {"id": "x", "review text": "tea", "stars": 0, "other": None}
    table = jsonl(good, good | {"stars": 1}, good | {column: value})
    with pytest.raises(UserError, match=r"row 3 \(line 3\) holds .* in the column"):
        made(parts=[TableFile(table, "javanese", "train")])
    # a column that the prompt does not name may hold anything
    task = made(parts=[TableFile(table.iloc[:2], "javanese", "train")])
    assert [row.label for row in task.load("javanese", "train")] == ["negative", "positive"]
    if column == "stars":
        with pytest.raises(UserError, match="row 3"):
            label_values([table], "stars")


def test_large_ids_and_whole_labels_keep_their_digits(tmp_path):
    ids = [12345678901234567890, 9007199254740993]
    rows = [{"id": id, "review text": "tea", "stars": i} for i, id in enumerate(ids)]
    task = made(parts=[TableFile(jsonl(*rows), "javanese", "train")])
    saved = load_task(str(write_task(task, tmp_path)))
    assert [row.id for row in saved.load("javanese", "train")] == list(map(str, ids))
    assert label_values([jsonl({"stars": 1}, {"stars": 1.0})], "stars") == ["1", "1.0"]


@pytest.mark.parametrize(
    "prompt", ["{review_text:>1000000000}", "{review_text!r}", "{review_text.__class__}", "{0}"]
)
def test_a_prompt_holds_plain_names_only(prompt):
    with pytest.raises(UserError, match="plain name"):
        made(prompt=prompt)
