"""Rows from files, addresses and the hub: every cell stays text, and what cannot be read is told in
one sentence.
"""

import json

import datasets
import pytest

from ctsft.data.sources import Files, Hub
from ctsft.data.tables import read_table
from support.errors import said
from support.hub import CLOSED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.csv",
            (
                'id,text,label\n007,NA,positive\n1,null,negative\n2,"one,'
                ' ""two""\nthree",neutral\n3,nan,\n'
            ),
        ),
        (
            "a.CSV",
            (
                '\ufeffid,text,label\r\n007,NA,positive\r\n1,null,negative\r\n2,"one,'
                ' ""two""\nthree",neutral\r\n3,nan,\r\n'
            ),
        ),
        (
            "a.jsonl",
            "".join(
                json.dumps(dict(zip(("id", "text", "label"), row, strict=True))) + "\n"
                for row in (
                    ("007", "NA", "positive"),
                    ("1", "null", "negative"),
                    ("2", 'one, "two"\nthree', "neutral"),
                    ("3", "nan", ""),
                )
            ),
        ),
    ],
)
def test_every_cell_stays_text(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    rows = read_table(tmp_path / name).to_dict("records")
    assert [tuple(row.values()) for row in rows] == [
        ("007", "NA", "positive"),
        ("1", "null", "negative"),
        ("2", 'one, "two"\nthree', "neutral"),
        ("3", "nan", ""),
    ]
    assert list(rows[0]) == ["id", "text", "label"]


def test_tsv_without_a_header_keeps_its_quotes(tmp_path):
    (tmp_path / "a.tsv").write_text('He said "no\tHe agreed"\tcontradiction\nNA\tnull\tneutral\n')
    rows = read_table(tmp_path / "a.tsv", ("premise", "hypothesis", "label")).to_dict("records")
    assert [tuple(row.values()) for row in rows] == [
        ('He said "no', 'He agreed"', "contradiction"),
        ("NA", "null", "neutral"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "holds no rows"),
        ("a.csv", b"id,text,label\n", "holds no rows"),
        ("a.jsonl", b"", "holds no rows"),
        ("a.csv", b'text,label\n"never closed,x\n', "could not be read as CSV"),
        ("a.csv", b"text,label\n\xff\xfe,x\n", "could not be read as CSV"),
        ("a.jsonl", b'{"text": "a"}\n{torn', "could not be read as JSONL"),
        ("a.xlsx", b"PK", "'.xlsx'"),
        ("a", b"text,label\n", ".csv, .tsv, .jsonl"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    said(lambda: read_table(tmp_path / name), name, words)


def test_files_tell_what_is_there(tmp_path):
    for name in ("indonesian/train.csv", "indonesian/test.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text,label\na,b\n")
    files = Files(tmp_path, "{language}/{split}.csv")
    assert files.splits("indonesian") == ["train", "test"] and files.splits("javanese") == []
    said(
        lambda: files.read("indonesian", "valid"),
        "'valid'",
        "'indonesian'",
        "there is only train, test",
        "--data-dir",
    )
    said(lambda: files.read("javanese", "train"), "nothing of 'javanese' is there")
    renamed = Files(tmp_path, "{language}/{split}.csv", {"id": "indonesian"}, {"valid": "test"})
    assert len(renamed.read("id", "valid")) == 1


def test_a_file_at_an_address(hub):
    from support.hub import ADDRESS

    hub.pages["/sets/javanese/train.csv"] = (
        b'id,text,label\n007,NA,positive\n1,"null, ""so""",negative\n',
        {"ETag": '"1"'},
    )
    source = Hub("csv", url=ADDRESS + "/sets/{language}/{split}.csv")
    rows = source.read("javanese", "train").astype(str).to_dict("records")
    assert [(row["text"], row["label"]) for row in rows] == [
        ("NA", "positive"),
        ('null, "so"', "negative"),
    ]
    assert source.splits("javanese") == ["train", "valid", "test"] and rows[0]["id"] == "007"
    assert len(source.read("javanese", "train")) == 2
    # then it only asks whether the copy is good
    assert sum(request.startswith("GET") for request in hub.asked) == 1
    said(lambda: source.read("javanese", "valid"), "'valid'", "javanese/valid.csv", "--data-dir")


def test_a_refused_connection_is_one_sentence():
    said(
        lambda: Hub("csv", url=CLOSED + "/{language}/{split}.csv").read("javanese", "train"),
        "'train' rows of 'javanese'",
        CLOSED + "/javanese/train.csv",
        "check the network",
    )


def test_a_dataset_of_the_hub(monkeypatch):
    """Names are translated on the way in, class numbers become words on the way out."""
    asked, features = (
        [],
        datasets.Features(
            {
                "premise": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["entailment", "neutral"]),
            }
        ),
    )

    def load_dataset(*words, **named):
        asked.append((words, named))
        return datasets.Dataset.from_dict(
            {"premise": ["NA", "b", "c"], "label": [1, 0, -1]}, features=features
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    frame = Hub(
        "facebook/xnli",
        "{language}",
        language_names={"thai": "th"},
        split_names={"valid": "validation"},
    ).read("thai", "valid")
    assert asked == [(("facebook/xnli", "th"), {"split": "validation"})]
    assert frame["label"].tolist() == ["neutral", "entailment", ""] and frame[
        "premise"
    ].tolist() == ["NA", "b", "c"]


def test_the_first_rows_of_a_large_dataset_are_streamed(tmp_path, monkeypatch):
    """As the whole dataset gives them, and without preparing it."""
    names = datasets.ClassLabel(names=["entailment", "neutral"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    rows = {"text": [f"text {i}" for i in range(9)], "label": [1, 0, None] * 3}
    data = tmp_path / "set" / "data"
    data.mkdir(parents=True)
    datasets.Dataset.from_dict(rows, features=features).to_parquet(data / "train.parquet")
    whole = Hub(str(tmp_path / "set")).read("thai", "train")
    monkeypatch.setattr(datasets.DatasetBuilder, "download_and_prepare", None)  # would fail
    first = Hub(str(tmp_path / "set"), rows=4).read("thai", "train")
    assert first.to_dict("list") == whole[:4].to_dict("list") and len(whole) == 9
    assert first["label"].tolist() == ["neutral", "entailment", "", "neutral"]
    said(lambda: Hub(str(tmp_path / "set")).read("thai", "train"), "could not be fetched")


def test_a_hub_that_does_not_know_the_dataset():
    said(
        lambda: Hub("no/such").read("thai", "train"),
        "no/such",
        "could not be fetched",
        "--data-dir",
    )
