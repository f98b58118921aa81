"""The tasks that come with the program: the demo corpus, NusaX, XNLI."""

import collections
import re

from ctsft.data.registry import NUSAX, XNLI, load_task
from support.errors import said
from support.tasks import LABELS, row_of


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
        nusax.text(row_of(text="bagus")) == "bagus | sentiment:"
        and nusax.labels == LABELS
        and nusax.max_length == 128
    )
    assert xnli.text(row_of(premise="a", hypothesis="b")) == "Premise: a Hypothesis: b Label:"


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
