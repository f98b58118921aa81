"""Task files and their tables, pools and samples; what is wrong with a task is one sentence."""

import collections
import json
import re

import pytest

from ctsft.data.registry import load_task
from ctsft.data.task import Example, balanced_sample, rows_hash
from support.errors import said
from support.tasks import LABELS, cued, task_words, write_csv, write_task


def test_a_task_file_loads_every_split_of_both_languages(tmp_path):
    task = load_task(write_task(tmp_path))
    assert (task.name, task.labels, task.languages, task.columns) == (
        "reviews",
        LABELS,
        ("indonesian", "javanese"),
        ["text"],
    )
    assert [
        len(task.load(language, split))
        for language in task.languages
        for split in ("train", "valid", "test")
    ] == [12, 6, 6] * 2
    assert task.load("javanese", "test", limit=2) == task.load("javanese", "test")[:2]
    assert [row.id for row in task.load("indonesian", "train")] == [row.id for row in cued(12, 0)]


def test_words_like_na_survive_and_rows_without_an_id_are_numbered(tmp_path):
    path = write_task(tmp_path)
    (tmp_path / "indonesian" / "train.csv").write_text("text,label\nNA,neutral\nnull,positive\n")
    assert load_task(path).load("indonesian", "train") == [
        Example("0", "NA", "neutral", {"text": "NA"}),
        Example("1", "null", "positive", {"text": "null"}),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,text\n1,a\n", "no column 'label'"),
        ("id,review,label\n1,a,neutral\n", "no column 'text'"),
        ("", "holds no rows"),
        ("text,label\na,neutral\nb,furious\n", "the label 'furious'"),
        ("text,label\na,\n", "the label ''"),
        ("text,label\na\n", "label"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, content, words):
    path = write_task(tmp_path)
    (tmp_path / "indonesian" / "train.csv").write_text(content)
    said(lambda: load_task(path).load("indonesian", "train"), words, "indonesian")


def test_a_wrong_language_split_or_missing_file_is_refused(tmp_path):
    task = load_task(write_task(tmp_path))
    said(lambda: task.load("klingon", "train"), "no language 'klingon'", "indonesian, javanese")
    said(lambda: task.splits("klingon"), "klingon")
    said(lambda: task.load("javanese", "dev"), "'dev' is not a split", "train, valid, test")
    (tmp_path / "javanese" / "valid.csv").unlink()
    said(lambda: task.load("javanese", "valid"), "there is only train, test")
    assert task.splits("javanese") == ["train", "test"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": None}, "lacks 'name'"),
        ({"prompt": None}, "lacks 'prompt'"),
        ({"labels": None}, "lacks 'labels'"),
        ({"source": None}, "lacks 'source'"),
        ({"files": None}, "exactly one of 'files' and 'hub'"),
        ({"hub": "some/set"}, "exactly one of 'files' and 'hub'"),
        ({"labels": ["good", "good", "bad"]}, "each once"),
        ({"labels": ["good"]}, "at least two"),
        ({"prompt": "sentiment:"}, "names no column"),
        ({"prompt": "{text | sentiment:"}, "cannot be read"),
        ({"prompt": "{} | sentiment:"}, "names no column"),
    ],
)
def test_a_task_file_that_lacks_something_is_refused(tmp_path, changes, words):
    said(lambda: load_task(write_task(tmp_path, **changes)), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "not valid JSON"), ("[1]", "holds a list"), ("\udcff", "not valid JSON")],
)
def test_a_task_file_that_is_no_task_is_refused(tmp_path, content, words):
    (tmp_path / "task.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    said(lambda: load_task(tmp_path / "task.json"), "task.json", words)


def test_names_that_are_not_there(tmp_path):
    said(lambda: load_task("sentiment"), "'sentiment' is not a task", "demo, nusax, xnli", ".json")
    said(lambda: load_task(tmp_path / "none.json"), "none.json does not exist")
    said(lambda: load_task("nusax", tmp_path / "none"), "data folder", "does not exist")


def test_a_file_pattern_with_another_word_in_braces_is_refused(tmp_path):
    said(
        lambda: load_task(write_task(tmp_path, files="{lang}/{split}.csv")).load(
            "indonesian", "train"
        ),
        "lang",
    )


def test_a_task_file_can_name_its_columns_languages_splits_and_labels(tmp_path):
    path = write_task(
        tmp_path,
        {("unused", "train"): []},
        prompt="Premise: {premise} Hypothesis: {hypothesis} Label:",
        labels=["entail", "other"],
        files="{split}-{language}.tsv",
        columns=["premise", "hypothesis", "label"],
        language_names={"indonesian": "id"},
        split_names={"valid": "dev"},
        rename={"entailment": "entail"},
    )
    (tmp_path / "dev-id.tsv").write_text('It "rains\tIt is wet\tentailment\n')
    task = load_task(path)
    assert task.splits("indonesian") == ["valid"]
    row = task.load("indonesian", "valid")[0]
    assert (row.label, row.fields) == (
        "entail",
        {"premise": 'It "rains', "hypothesis": "It is wet"},
    )
    assert task.text(row) == 'Premise: It "rains Hypothesis: It is wet Label:'
    said(lambda: task.text(Example("7", "a", "entail")), "column 'premise'", "'7'")


@pytest.mark.parametrize(
    ("n", "a", "b"), [(500, 400, 100), (11000, 400, 100), (450, 360, 90), (150, 120, 30), (3, 2, 1)]
)
def test_pools_are_400_and_100_or_four_to_one(task, n, a, b):
    rows = [Example(str(i), "", LABELS[i % 3]) for i in range(n)]
    first, second = task.pools(rows, seed=3)
    assert (len(first), len(second)) == (a, b)
    assert not {row.id for row in first} & {row.id for row in second}
    assert task.pools(rows, seed=3) == (first, second) and (
        n < 9 or task.pools(rows, seed=4)[0] != first
    )


def test_samples_are_balanced_seeded_and_as_near_as_the_rows_allow():
    rows = [
        Example(str(i), "", label)
        for i, label in enumerate(["negative"] * 40 + ["neutral"] * 3 + ["positive"] * 40)
    ]
    drawn = balanced_sample(rows, 25, LABELS, seed=1)
    assert collections.Counter(row.label for row in drawn) == {
        "negative": 11,
        "neutral": 3,
        "positive": 11,
    }
    assert len({row.id for row in drawn}) == 25
    assert (
        balanced_sample(rows, 25, LABELS, seed=1)
        == drawn
        != balanced_sample(rows, 25, LABELS, seed=2)
    )
    assert collections.Counter(
        row.label for row in balanced_sample(rows, 9, LABELS, seed=1)
    ) == dict.fromkeys(LABELS, 3)
    said(lambda: balanced_sample(rows, 84, LABELS), "84", "83")


def test_the_fingerprint_sees_text_label_and_order():
    rows = cued(4)
    changed = [
        [*rows[:3], Example(rows[3].id, rows[3].text, "positive")],
        [*rows[:3], Example(rows[3].id, "x", rows[3].label)],
        rows[::-1],
    ]
    prints = {rows_hash(these) for these in [rows, cued(4), *changed]}
    assert len(prints) == 4 and all(re.fullmatch("[0-9a-f]{16}", text) for text in prints)


def test_data_dir_reads_a_task_file_from_another_folder(tmp_path):
    (tmp_path / "task.json").write_text(json.dumps(task_words()))
    write_csv(tmp_path / "elsewhere" / "indonesian" / "test.csv", cued(3))
    assert (
        len(load_task(tmp_path / "task.json", tmp_path / "elsewhere").load("indonesian", "test"))
        == 3
    )
