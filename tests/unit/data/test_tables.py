"""Tables in files: what is read is what was written, by whichever program wrote it, and a row that
does not fit is refused by its line.
"""

import csv
import io
import json

import pandas as pd
import pytest

from ctsft.data.cells import NotText
from ctsft.data.tables import open_table, read_table
from ctsft.utils.errors import UserError
from support.errors import said

TEXTS = [
    "good tea",
    'she said "so, so"',
    "None",
    "NA",
    "null",
    "nan",
    "",
    "=1+1",
    "a; b, c",
    "a\tb",
    "two\nlines",
    "07",
    "1.0",
    "true",
    '"',
    "don't",
    "🙂 قهوة",
]


def rows_of(name: str, data: str | bytes, **settings) -> list[tuple]:
    data = data.encode() if isinstance(data, str) else data
    return [tuple(row) for row in read_table(name, data=data, **settings).itertuples(index=False)]


# ---- CSV and TSV -----------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_texts_come_back_from_every_dialect(separator, ending, quoting, start):
    table = pd.DataFrame({"id": [f"{i:03}" for i in range(len(TEXTS))], "text": TEXTS})
    table["label"] = "x"
    data = table.to_csv(sep=separator, index=False, quoting=quoting).encode()
    assert rows_of("a" + ending, start + data) == [tuple(row) for row in table.to_numpy()]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "text;label\ngood, but slow;positive\n3,5 stars;negative\n", "semicolons"),
        ("a.tsv", 'text\tlabel\n"good, but slow"\tpositive\n3,5 stars\tnegative\n', "tabs"),
        ("a.csv", "sep=;\ntext;label\ngood, but slow;positive\n3,5 stars;negative\n", "semicolons"),
        ("a.csv", 'text,label\n"good, but slow",positive\n"3,5 stars",negative\n', "commas"),
        ("a.CSV", "text\tlabel\r\ngood, but slow\tpositive\r\n3,5 stars\tnegative\r\n", "tabs"),
    ],
)
def test_the_separator_is_found_and_named(name, text, words):
    table = open_table(name, data=text.encode())
    assert table.frame.to_numpy().tolist() == [
        ["good, but slow", "positive"],
        ["3,5 stars", "negative"],
    ]
    assert words in table.dialect and "read as text" not in table.dialect


@pytest.mark.parametrize(
    "texts",
    [
        ['He said "no', "plain"],
        ['"No" he said', "plain"],
        ['"No.', 'plain"'],
        ['"So", and "so"', "plain"],
        ['"No."', "He agreed."],  # no writer would have quoted this one alone
    ],
)
def test_quotation_marks_of_a_tab_separated_text_stay(texts):
    data = "".join(f"{text}\t{label}\n" for text, label in zip(texts, "ab", strict=True))
    table = open_table("a.tsv", ("text", "label"), data=data.encode())
    assert table.frame["text"].tolist() == texts
    assert "quotation marks read as text" in table.dialect
    assert rows_of("a.tsv", "text\tlabel\n" + data) == list(zip(texts, "ab", strict=True))


def test_a_task_can_say_what_quotation_marks_are():
    data = 'text\tlabel\n"Well, no."\ta\n'
    assert rows_of("a.tsv", data) == rows_of("a.tsv", data, quotes=True) == [("Well, no.", "a")]
    assert rows_of("a.tsv", data, quotes=False) == [('"Well, no."', "a")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # a comma in each text, and in one of them
        ("text,label\ngood, but slow,positive\nbad, but fast,negative\n", "line 2"),
        ("id,text,label\n1,good, but slow,positive\n2,bad, but fast,negative\n", "line 2"),
        ("text,label\nfine,positive\ngood, but slow,positive\n", "line 3"),
        ("text,label\na,b,c,d,positive\n", "line 2"),
        ("text,label\n1,good,positive\n1,bad,negative\n", "line 2"),  # names that repeat
        ("text;label\ngood; but slow;positive\nx;y\n", "line 2"),
        ("text\tlabel\ngood\tbut slow\tpositive\nx\ty\n", "line 2"),
        ("text,label,\n a,b\n", "line 2"),
        ("text,label\na,positive,\nb,negative,\n", "line 2"),
        # quoted here and there: not R
        ('"text","label"\n"good", but slow,"x"\n"bad", but fast,"y"\n', "line 2"),
        # too short
        ("id,text,label\n1,a,x\n2,b\n", "line 3"),
        ('text,label\n"two\nlines",x\nonly\n', "line 4"),
        ("text,label\n\n\na,x\n\nb\n", "line 6"),
        # quotation marks that do not close, or close too early
        ('text,label\na,x\n"never closed,x\n', "line 3"),
        ('text,label\n"Good" film,x\n', "line 2"),
        ('text,label\n"he said \\"hi\\"",x\n', "line 2"),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_row_that_does_not_fit_is_refused_by_its_line(text, line, ending):
    said(lambda: rows_of("a" + ending, text), "a" + ending, f"{line} ", "could not be read as")


def test_a_long_header_and_long_names_do_not_fill_the_sentence():
    header = ",".join(f"{'x' * 500}{i}" for i in range(500))
    with pytest.raises(UserError) as error:
        rows_of("a.csv", header + "\n1,2\n")
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    "text",
    [
        '"text","label"\n"1","good, so","x"\n"2","bad","y"\n',
        '"text"\t"label"\n"r1"\t"good"\t"x"\n"r2"\t"bad"\t"y"\n',
        '"text";"label"\n"r1";"good";"x"\n"r2";"bad";"y"\n',
        "text,label\n1,good,x\n2,bad,y\n",
        '"text","stars","seen","label"\n"1","good",5,TRUE,"x"\n"2","bad",NA,FALSE,"y"\n',
    ],
)
def test_row_names_of_r_are_the_index(text):
    frame = read_table("a.csv", data=text.encode())
    assert frame["text"].str.startswith(("good", "bad")).all()
    assert frame["label"].tolist() == ["x", "y"] and len(set(frame.index)) == 2
    assert list(frame.index) in (["1", "2"], ["r1", "r2"])


def test_pandas_index_has_a_column():
    data = pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}).to_csv()
    assert list(read_table("a.csv", data=data.encode()).columns) == ["Unnamed: 0", "text", "label"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"text,label\na,x\nb\xe9,y\n", ("line 3 is not UTF-8", "0xe9")),
        ("text,label\na,x\n".encode("utf-16"), ("UTF-16",)),
        (b"text,label\na\0b,x\n", ("line 2 holds a NUL",)),
        (b"text,text,label\na,b,x\n", ("two of its columns are named 'text'",)),
        (b"text,label\n", ("no rows",)),
        (b"\xef\xbb\xbf", ("no rows",)),
        (b"\n \n", ("no rows",)),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_file_that_is_no_table(data, words, ending):
    said(lambda: rows_of("a" + ending, data), "a" + ending, *words)


def test_columns_of_a_file_without_a_header():
    names = ("text", "label")
    assert rows_of("a.csv", "a,x\nb,y\n", columns=names) == [("a", "x"), ("b", "y")]
    said(lambda: rows_of("a.csv", "a,x\nb,c,y\n", columns=names), "line 2", "names for 2")
    said(lambda: rows_of("a.tsv", "a\nb\tx\n", columns=names), "line 1")


def test_a_text_longer_than_pythons_limit():
    text = "tea " * 50_000
    out = io.StringIO()
    csv.writer(out).writerows([("text", "label"), (text, "x")])
    assert rows_of("a.csv", out.getvalue()) == [(text, "x")]


# ---- JSONL -----------------------------------------------------------------


def test_texts_and_numbers_keep_their_spelling():
    lines = [
        {"id": 12345678901234567890123, "text": "None", "label": 0},
        {"id": "007", "text": "two\u2028lines, \ttab", "label": 1},
    ]
    data = "\n\n".join(map(json.dumps, lines)) + '\n{"id": 1.0, "text": "x", "label": 1.50}\n'
    assert rows_of("a.jsonl", data) == [
        ("12345678901234567890123", "None", "0"),
        ("007", "two\u2028lines, \ttab", "1"),
        ("1.0", "x", "1.50"),
    ]
    raw = '{"text": "two\u2028lines", "label": "a\tb"}'  # neither ends a line of JSONL
    assert rows_of("a.jsonl", raw) == [("two\u2028lines", "a\tb")]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("null", "null"),
        ("[1]", "a list"),
        ("{}", "an object"),
        ("true", "the boolean true"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ('"\\ud800"', "half of a character"),
        ('"a\\u0000"', "NUL"),
        (None, "nothing"),
    ],
)
def test_what_is_not_text_is_marked_with_its_row(value, what):
    cell = f', "text": {value}' if value else ""
    data = f'{{"label": "x", "text": "a"}}\n\n{{"label": "y"{cell}}}\n'
    label, text = rows_of("a.jsonl", data)[1]
    assert label == "y" and isinstance(text, NotText)
    assert what in text.what and text.place == "a.jsonl, row 2 (line 3)"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('[{"text": "a"}]', "JSON array"),
        ('{"text": "a"}\n["a"]', "line 2 is not one JSON object, but a list"),
        ('{"text": "a"}\n3', "line 2"),
        ('{\n"text": "a"\n}', "line 1"),
        ('{"text": "a"}{"text": "b"}', "line 1"),
        ('{"text": "a", "text": "b"}', "'text' twice"),
        ("[" * 100_000, "JSON array"),
        ('{"text": ' + "[" * 100_000, "line 1"),
        ("\n", "no rows"),
        ("{}", "no rows"),
    ],
)
def test_lines_that_are_no_rows(data, words):
    said(lambda: rows_of("a.jsonl", data), "a.jsonl", words)
