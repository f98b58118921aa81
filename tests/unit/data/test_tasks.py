"""Prompts, labels, pools and the tasks that come with the program; what is wrong with a task is
told in one sentence.
"""

import collections
import json
import re
from pathlib import Path

import pytest

from ctsft.data.labels import label_token
from ctsft.data.registry import NUSAX, XNLI, load_task
from ctsft.data.sources import Files
from ctsft.data.task import Example, Task, balanced_sample, rows_hash
from support.errors import said
from support.tasks import LABELS, cued, task_words, write_csv, write_task
from support.tokenizers import sentence_piece


class Named:
    """All that `encode` and `label_ids` ask of a model."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer


def example(**fields) -> Example:
    return Example("0", fields.get("text", ""), "neutral", fields)


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


def test_a_prompt_ends_just_before_the_label(task, tokenizer):
    row = example(text="very good tea")
    assert tokenizer.decode(task.encode(Named(tokenizer), row)) == "very good tea | sentiment:"
    whole = tokenizer("very good tea | sentiment: positive")["input_ids"]
    assert whole == [
        *task.encode(Named(tokenizer), row),
        task.label_ids(Named(tokenizer))["positive"],
    ]


@pytest.mark.parametrize("kind", ["byte", "sentencepiece"])
@pytest.mark.parametrize("length", [24, 25, 128])
def test_a_long_text_is_cut_and_the_tail_stays(tokenizer, kind, length):
    model = Named(tokenizer if kind == "byte" else sentence_piece())
    task = Task("t", "{text} | sentiment:", LABELS, "a", (), Files(Path(), ""), max_length=length)
    row = example(text="rain and sun " * 100)
    ids, uncut = task.encode(model, row), model.tokenizer(task.text(row))["input_ids"]
    tail = model.tokenizer(" | sentiment:", add_special_tokens=False)["input_ids"][-3:]
    # a word more would not have fitted
    assert len(uncut) > 300 and length - 12 <= len(ids) <= length
    assert ids[-3:] == tail and ids[:8] == uncut[:8]
    if kind == "sentencepiece":
        assert ids[0] == model.tokenizer.bos_token_id
    short = example(text="rain")
    assert task.encode(model, short) == model.tokenizer("rain | sentiment:")["input_ids"]


def test_every_column_of_a_long_prompt_is_cut(tokenizer):
    model = Named(tokenizer)
    task = Task(
        "t",
        "Premise: {premise} Hypothesis: {hypothesis} Label:",
        LABELS,
        "a",
        (),
        Files(Path(), ""),
        max_length=60,
    )
    ids = task.encode(model, example(premise="rain " * 200, hypothesis="the sun"))
    text = tokenizer.decode(ids)
    assert (
        len(ids) <= 60
        and text.startswith("Premise: rain rain")
        and text.endswith(" Hypothesis: the sun Label:")
    )
    too_small = Task(
        "t",
        "Premise: {premise} Hypothesis: {hypothesis} Label:",
        LABELS,
        "a",
        (),
        Files(Path(), ""),
        max_length=5,
    )
    said(
        lambda: too_small.encode(model, example(premise="a", hypothesis="b")),
        "the 5 allowed",
        "shorten",
    )


def test_labels_are_one_token_with_their_space(task, tokenizer):
    ids = task.label_ids(Named(tokenizer))
    assert list(ids) == list(LABELS) and tokenizer.convert_ids_to_tokens(list(ids.values())) == [
        "Ġ" + label for label in LABELS
    ]


def test_sentencepiece_labels_are_the_token_that_begins_with_the_space(task):
    tokenizer = sentence_piece()
    # the trap: two tokens with the space, one without
    assert tokenizer.tokenize(" good") == ["▁", "▁good"]
    assert tokenizer.convert_ids_to_tokens(list(task.label_ids(Named(tokenizer)).values())) == [
        "▁" + label for label in LABELS
    ]


@pytest.mark.parametrize(
    ("kind", "label", "words"),
    [
        ("byte", "awful", ("'awful'", "'Ġa', 'w', 'f'")),
        ("byte", "good tea", ("2 token(s)", "'Ġgood', 'Ġtea'")),
        ("sentencepiece", "dire", ("'▁'", "'d'")),
        ("sentencepiece", "Ω", ("'Ω'", "ONE known token")),
    ],
)
def test_a_label_of_several_tokens_is_refused_naming_them(tokenizer, kind, label, words):
    said(lambda: label_token(tokenizer if kind == "byte" else sentence_piece(), label), *words)


def test_two_labels_that_become_one_token_are_refused(tokenizer):
    lower = sentence_piece()
    from tokenizers import normalizers

    lower.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    task = Task("t", "{text}", ("Good", "good", "bad"), "a", (), Files(Path(), ""))
    said(lambda: task.label_ids(Named(lower)), "'Good' and 'good'", "same token")


def fold(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


def test_the_demo_corpus_is_aligned_balanced_and_without_doubles():
    task = load_task("demo")
    assert task.languages == ("indonesian", "javanese", "minangkabau", "english")
    rows = {
        (language, split): task.load(language, split)
        for language in task.languages
        for split in ("train", "valid", "test")
    }
    for split, n in (("train", 150), ("valid", 90), ("test", 400)):
        words = [
            [(row.id, row.label) for row in rows[language, split]] for language in task.languages
        ]
        assert words == [words[0]] * 4 and len(words[0]) == n
        counts = collections.Counter(label for _, label in words[0])
        assert set(counts) == set(LABELS) and max(counts.values()) - min(counts.values()) <= 1
    for language in task.languages:
        folded = collections.Counter(
            fold(row.text) for split in ("train", "valid", "test") for row in rows[language, split]
        )
        assert len(folded) == 640 and "" not in folded and max(folded.values()) == 1
    assert (
        len({row.id for split in ("train", "valid", "test") for row in rows["english", split]})
        == 640
    )


def test_the_doubles_check_sees_a_double():
    assert fold("Very good -- tea!") == fold("very GOOD tea") != fold("very good tee")


def test_nusax_and_xnli_know_their_languages_and_fetch_from_their_publishers():
    nusax, xnli = load_task("nusax"), load_task("xnli")
    assert (nusax.source, len(nusax.languages), set(nusax.languages)) == (
        "indonesian",
        12,
        set(NUSAX),
    )
    assert (xnli.source, len(xnli.languages), set(xnli.languages)) == ("english", 15, set(XNLI))
    assert nusax.rows.url.format(language="buginese", split="valid").endswith(
        "IndoNLP/nusax/main/datasets/sentiment/buginese/valid.csv"
    )
    assert (xnli.rows.dataset, xnli.rows.config, xnli.rows.split_names) == (
        "facebook/xnli",
        "{language}",
        {"valid": "validation"},
    )
    assert (
        nusax.text(example(text="bagus")) == "bagus | sentiment:"
        and nusax.labels == LABELS
        and nusax.max_length == 128
    )
    assert xnli.text(example(premise="a", hypothesis="b")) == "Premise: a Hypothesis: b Label:"


def test_nusax_files(real_data):
    task, ids = load_task("nusax", real_data / "nusax"), {}
    here = [language for language in task.languages if task.splits(language)]
    assert len(here) == 8
    for language in here:
        for split, n in (("train", 500), ("valid", 100), ("test", 400)):
            rows = task.load(language, split)
            assert len(rows) == n and all(row.text for row in rows)
            assert ids.setdefault(split, [(row.id, row.label) for row in rows]) == [
                (row.id, row.label) for row in rows
            ]
    assert task.splits("madurese") == []
    said(lambda: task.load("madurese", "train"), "nothing of 'madurese' is there", "--data-dir")
    a, b = task.pools(task.load("indonesian", "train"))
    assert (len(a), len(b)) == (400, 100)


def test_xnli_files(real_data):
    task = load_task("xnli", real_data / "xnli")
    for language in ("english", "spanish", "chinese"):
        assert task.splits(language) == ["valid", "test"]
        rows = task.load(language, "valid")
        assert collections.Counter(row.label for row in rows) == dict.fromkeys(
            ("entail", "neutral", "contradiction"), 830
        )
        assert (
            all(row.fields["premise"] and row.fields["hypothesis"] for row in rows)
            and len(rows) == 2490
        )
    assert len(task.load("english", "test")) == 5010
    said(lambda: task.load("thai", "valid"), "nothing of 'thai' is there")
    said(lambda: task.load("english", "train"), "there is only valid, test")


def test_data_dir_reads_a_task_file_from_another_folder(tmp_path):
    (tmp_path / "task.json").write_text(json.dumps(task_words()))
    write_csv(tmp_path / "elsewhere" / "indonesian" / "test.csv", cued(3))
    assert (
        len(load_task(tmp_path / "task.json", tmp_path / "elsewhere").load("indonesian", "test"))
        == 3
    )
