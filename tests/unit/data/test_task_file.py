"""Task files: every key is checked by type; a task reads texts, and nothing in their place."""

import json
import math
import os

import pytest

from ctsft.data.registry import load_task
from support.errors import said
from support.tasks import write_task

WORDS = ["negative", "neutral", "positive"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"targets": "beta"}, ("'beta' as targets", "a list")),
        ({"targets": {"a": 1}}, ("targets", "a list")),
        ({"targets": ["beta", 3]}, ("3 as targets", "text")),
        ({"targets": ["beta", "beta"]}, ("'beta'", "twice")),
        ({"targets": ["indonesian"]}, ("'indonesian'", "source and as target")),
        ({"targets": [""]}, ("targets", "not empty")),
        ({"labels": "abc"}, ("'abc' as labels", "a list")),
        ({"labels": ["a", None]}, ("None as labels", "text")),
        ({"labels": ["a", True]}, ("True as labels", "text")),
        ({"labels": ["a", 1.0]}, ("1.0 as labels", "text")),
        ({"labels": ["a", " "]}, ("labels", "not empty")),
        ({"name": 3}, ("3 as name", "text")),
        ({"name": " "}, ("name", "not empty")),
        ({"name": "two\nlines"}, ("name", "one line")),
        ({"targets": ["a\x1b[31m"]}, ("targets", "one line")),
        ({"labels": ["a", "b\tc"]}, ("labels", "one line")),
        ({"source": ["indonesian"]}, ("source", "text")),
        ({"prompt": 5}, ("5 as prompt", "text")),
        ({"files": ["a"]}, ("files", "text")),
        ({"files": None, "hub": 3}, ("hub", "text")),
        ({"files": None, "hub": "a/b", "config": 3}, ("config", "text")),
        ({"columns": "text,label"}, ("columns", "a list")),
        ({"columns": ["text", "text"]}, ("columns", "twice")),
        ({"language_names": ["id"]}, ("language_names", "an object")),
        ({"language_names": {"indonesian": 3}}, ("language_names", "(at indonesian)")),
        ({"split_names": {"dev": "valid"}}, ("split_names", "train, valid and test")),
        ({"rename": ["a"]}, ("rename", "an object")),
        ({"rename": {"a": None}}, ("rename", "(at a)")),
        ({"leave_out": "unclear"}, ("leave_out", "a list")),
        ({"quotes": "no"}, ("quotes", "true or false")),
        ({"max_length": "long"}, ("'long' as max_length", "a whole number")),
        ({"max_length": 12.5}, ("12.5 as max_length", "a whole number")),
        ({"max_length": True}, ("True as max_length", "a whole number")),
        ({"max_length": 0}, ("0 as max_length", "at least 1")),
        ({"max_length": -5}, ("max_length", "at least 1")),
        ({"max_length": 10**30}, ("max_length", "at most")),
        ({"max_length": math.inf}, ("inf as max_length", "a whole number")),
        ({"lables": ["a"]}, ("the key 'lables'", "labels")),
        ({"x" * 500: 1}, ("does not have", "labels")),
        ({"name": "\ud800"}, ("name", "no file can hold")),
        ({"prompt": "{text} | {label} | sentiment:"}, ("the label itself", "remove it")),
        ({"prompt": "{text:>1000000000}"}, ("not a plain name",)),
        ({"prompt": "{text!r}"}, ("not a plain name",)),
        ({"prompt": "{text.__class__}"}, ("not a plain name",)),
        ({"prompt": "{text[0]}"}, ("not a plain name",)),
        ({"prompt": "{0}"}, ("not a plain name",)),
        ({"prompt": "{text:{width}}"}, ("not a plain name",)),
        ({"files": "{language}/{split:>1000000000}.csv"}, ("{language} and {split}",)),
        ({"files": "{language!r}/{split}.csv"}, ("{language} and {split}",)),
        ({"files": "{language.__class__}/{split}.csv"}, ("{language} and {split}",)),
        ({"files": "{0}/{split}.csv"}, ("{language} and {split}",)),
        ({"files": "{}/{split}.csv"}, ("{language} and {split}",)),
        ({"files": "{language/{split}.csv"}, ("cannot be filled in",)),
        ({"files": None, "hub": "a/b", "config": "{language!r}"}, ("{language} and {split}",)),
        # one file for everything: training rows would be test rows
        ({"files": "{language}.csv"}, ("lacks {split}",)),
        ({"files": "{split}.csv"}, ("lacks {language}",)),
        ({"files": "all.csv"}, ("lacks {language}",)),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_before_any_row_is_read(tmp_path, changes, words):
    path = write_task(tmp_path, {("unused", "train"): []}, **changes)
    said(lambda: load_task(path), *words)


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), {"a": ["b" * 10_000]}])
@pytest.mark.parametrize("key", ["name", "labels", "targets", "files", "max_length", "rename"])
def test_a_sentence_quotes_little_of_what_came(tmp_path, key, value):
    path = write_task(tmp_path, {("unused", "train"): []}, **{key: value})
    if key == "name" and isinstance(value, str):
        assert load_task(path).name == value
        return
    try:
        load_task(path)
    except ValueError as error:
        assert len(str(error)) < 400 + len(str(path))
        return
    assert (key, value == list(range(10_000))) in {("files", False), ("labels", True)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"name": "a", "name": "b"}', "'name' stands there twice"),
        ("[" * 100_000, "not valid JSON"),
        ("null", "one JSON object"),
        (
            json.dumps(dict.fromkeys(("name", "prompt", "labels", "source", "hub"))),
            "exactly one of 'files' and 'hub'",
        ),
        ("", "not valid JSON"),
    ],
)
def test_a_file_that_is_no_task(tmp_path, content, words):
    (tmp_path / "task.json").write_text(content)
    said(lambda: load_task(tmp_path / "task.json"), "task.json", words)
    said(lambda: load_task(tmp_path / "folder.json"), "does not exist")
    os.mkfifo(tmp_path / "pipe.json")
    said(lambda: load_task(tmp_path / "pipe.json"), "pipe.json", "could not be read")
    (tmp_path / "folder.json").mkdir()
    said(lambda: load_task(tmp_path / "folder.json"), "folder.json", "could not be read")


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = write_task(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_task(path).name == "reviews"


def test_one_language_needs_no_name_in_its_files(tmp_path):
    rows = {("", "train"): []}
    path = write_task(tmp_path, rows, files="{split}.csv", targets=None)
    (tmp_path / "train.csv").write_text("text,label\ntea,neutral\n")
    assert len(load_task(path).load("indonesian", "train")) == 1


def test_whole_numbers_are_labels_and_rows_can_be_left_out(tmp_path):
    path = write_task(
        tmp_path, {("x", "train"): []}, labels=[0, 1], rename={"bad": 0}, leave_out=["unclear", 7]
    )
    (tmp_path / "indonesian").mkdir()
    (tmp_path / "indonesian" / "train.csv").write_text(
        "text,label\na,0\nb,unclear\nc,7\nd,1\n,unclear\ne,bad\n"
    )
    rows = load_task(path).load("indonesian", "train")
    assert [(row.id, row.text, row.label) for row in rows] == [
        ("0", "a", "0"),
        ("3", "d", "1"),
        ("5", "e", "0"),
    ]
    only = write_task(tmp_path / "b", {("x", "train"): []}, leave_out=["0"])
    (tmp_path / "b" / "indonesian").mkdir()
    (tmp_path / "b" / "indonesian" / "train.csv").write_text("text,label\na,0\n")
    said(lambda: load_task(only).load("indonesian", "train"), "leave out fewer")


# ---- rows of its files -----------------------------------------------------


def read_jsonl(folder, *rows: dict):
    path = write_task(folder, {("x", "train"): []}, files="{language}/{split}.jsonl")
    (folder / "indonesian").mkdir()
    (folder / "indonesian" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return load_task(path).load("indonesian", "train")


GOOD = {"id": 1, "text": "tea", "label": "neutral", "seen": None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": None}, ("row 2 (line 2)", "null", "'text'")),
        ({"text": ["a", "b"]}, ("row 2 (line 2)", "a list")),
        ({"text": {"a": 1}}, ("row 2", "an object")),
        ({"text": False}, ("row 2", "the boolean false")),
        ({"text": math.nan}, ("row 2", "NaN")),
        ({"text": "  "}, ("row 2", "no text")),
        ({"label": None}, ("row 2 (line 2)", "null", "'label'")),
        ({"label": True}, ("row 2", "the boolean true")),
        ({"label": "furious"}, ("the label 'furious'", "leave_out")),
        ({"label": "x" * 5000}, ("the label 'xxx",)),
        ({"id": None}, ("row 2", "'id'")),
    ],
)
def test_a_row_without_text_or_label_is_named(tmp_path, change, words):
    row = {**GOOD, "id": 2, **change}
    said(lambda: read_jsonl(tmp_path, GOOD, row), "train rows of indonesian", *words)
    assert len(read_jsonl(tmp_path / "b", GOOD, GOOD)) == 2


def test_a_row_that_lacks_a_key_is_named(tmp_path):
    said(lambda: read_jsonl(tmp_path, GOOD, {"text": "a"}), "row 2 (line 2)", "nothing", "'label'")


def test_ids_stay_text_and_rows_are_numbered_where_they_repeat(tmp_path):
    big = 2**70 + 1
    rows = read_jsonl(tmp_path, {**GOOD, "id": big}, {**GOOD, "id": "007"})
    assert [row.id for row in rows] == [str(big), "007"]
    assert [row.id for row in read_jsonl(tmp_path / "b", GOOD, GOOD)] == ["0", "1"]


def test_words_of_pandas_are_texts(tmp_path):
    texts = ["None", "NA", "null", "nan", "N/A", "<NA>", "1.0", "True", "#N/A"]
    path = write_task(tmp_path, {("x", "train"): []})
    (tmp_path / "indonesian").mkdir()
    lines = "".join(f"{text},neutral\n" for text in texts)
    (tmp_path / "indonesian" / "train.csv").write_text("text,label\n" + lines)
    assert [row.text for row in load_task(path).load("indonesian", "train")] == texts


def test_published_files_are_read_as_published(real_data):
    """Compared with a reader that knows nothing but lines and tabs, or Python's own CSV."""
    import csv

    xnli = load_task("xnli", real_data / "xnli")
    for code, language in (("en", "english"), ("es", "spanish"), ("zh", "chinese")):
        for name, split in (("dev", "valid"), ("test", "test")):
            text = (real_data / "xnli" / f"{name}-{code}.tsv").read_text(encoding="utf-8")
            rows = [tuple(line.split("\t")) for line in text.split("\n") if line]
            read = xnli.load(language, split)
            assert [(row.fields["premise"], row.fields["hypothesis"]) for row in read] == [
                row[:2] for row in rows
            ]
    nusax = load_task("nusax", real_data / "nusax")
    for language in filter(nusax.splits, nusax.languages):
        for split in ("train", "valid", "test"):
            file = real_data / "nusax" / language / f"{split}.csv"
            with file.open(newline="", encoding="utf-8") as lines:
                rows = list(csv.reader(lines))[1:]
            assert [[row.id, row.text, row.label] for row in nusax.load(language, split)] == rows


def test_bare_quotation_marks_of_xnli_stay(tmp_path):
    (tmp_path / "dev-en.tsv").write_text('"No.", he said\t"Well, no."\tneutral\n')
    (tmp_path / "test-en.tsv").write_text('"Well, yes."\t"Well, no."\tneutral\n')
    task = load_task("xnli", tmp_path)
    assert [task.load("english", split)[0].fields["hypothesis"] for split in ("valid", "test")] == [
        '"Well, no."'
    ] * 2


def test_a_dataset_of_the_hub_may_be_streamed(tmp_path):
    path = write_task(tmp_path, files=None, hub="some/set")
    assert load_task(path).rows.rows is None
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": 500}))
    assert load_task(path).rows.rows == 500
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": 0}))
    said(lambda: load_task(path), "0 as rows", "at least 1")
    path = write_task(tmp_path / "files")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": 5}))
    said(lambda: load_task(path), "has rows", "files are read whole")
