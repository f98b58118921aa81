"""Parquet and Arrow files: what is read is what was written, and what is not text is refused by its
row as in every other table.
"""

import datetime

import datasets
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from ctsft import load_task
from ctsft.data import columnar, own_tables
from ctsft.data.tables import read_table
from support.errors import said
from support.tasks import LABELS, write_task

TEXTS = ["good tea", "None", "NA", "", "two\nlines", "07", "🙂 قهوة"]


def written(table: pa.Table, kind: str) -> bytes:
    sink = pa.BufferOutputStream()
    if kind == "parquet":
        parquet.write_table(table, sink)
    else:
        new = ipc.new_file if kind == "file" else ipc.new_stream
        with new(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue().to_pybytes()


def frame(table, kind="parquet"):
    name = "a.parquet" if kind == "parquet" else "a.arrow"
    return read_table(name, data=written(table, kind))


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
@pytest.mark.parametrize(
    "text", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.utf8())]
)
def test_texts_and_numbers_come_back(kind, text):
    numbers = [10**18 + row for row in range(len(TEXTS))]
    table = pa.table({"id": pa.array(numbers, pa.int64()), "text": pa.array(TEXTS).cast(text)})
    columns = frame(table, kind)
    assert columns["text"].tolist() == TEXTS and columns["id"].tolist() == [str(n) for n in numbers]


@pytest.mark.parametrize(
    ("values", "kind", "what"),
    [
        (["good", None], pa.string(), "null"),
        ([["a"], ["b"]], pa.list_(pa.string()), "a list"),
        ([{"a": "b"}] * 2, pa.struct({"a": pa.string()}), "an object"),
        ([True, False], pa.bool_(), "the boolean"),
        ([b"a", b"b"], pa.binary(), "bytes"),
        ([datetime.date(2026, 1, 31)] * 2, pa.date32(), "type date"),
        ([0.5, float("nan")], pa.float64(), "the number nan"),
        (["a", "b\0"], pa.string(), "a NUL character"),
    ],
)
def test_what_is_no_text_is_refused_by_its_row(values, kind, what):
    labels = ["positive", "negative"]
    table = pa.table({"text": pa.array(values, kind), "label": labels})
    rows = own_tables.TableFile(frame(table), "javanese")
    names = {label: label for label in labels}

    def draft(prompt):
        return own_tables.draft_task("mine", prompt, [rows], "label", names, "javanese")

    said(lambda: draft("{text}:"), "row ", what, "'text'")
    good = own_tables.TableFile(frame(pa.table({"text": ["a", "b"], "label": labels})), "javanese")
    assert own_tables.draft_task("mine", "{text}:", [good], "label", names, "javanese")  # control


def test_class_numbers_of_datasets_become_names(tmp_path):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(LABELS))}
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [2, 0]}, features=features)
    rows.to_parquet(tmp_path / "rows.parquet")
    assert read_table(tmp_path / "rows.parquet")["label"].tolist() == ["positive", "negative"]
    rows.save_to_disk(tmp_path / "saved")
    (arrow,) = (tmp_path / "saved").glob("*.arrow")
    assert read_table(arrow)["label"].tolist() == ["positive", "negative"]
    plain = pa.table({"text": ["a"], "label": [2]})  # the control: no names in the file
    assert frame(plain)["label"].tolist() == ["2"]


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_damaged_files_are_refused(kind):
    data = written(pa.table({"text": TEXTS * 50, "label": ["x"] * 350}), kind)
    name = "a.parquet" if kind == "parquet" else "a.arrow"
    said(lambda: read_table(name, data=data[: len(data) // 2]), name, "damaged")
    said(lambda: read_table(name, data=b"text,label\na,b\n"), name, "damaged")
    said(lambda: read_table(name, data=b""), name, "damaged")


def test_tables_without_rows_or_with_two_columns_of_one_name_are_refused():
    said(lambda: frame(pa.table({"text": pa.array([], pa.string())})), "no rows")
    double = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    said(lambda: frame(double, "file"), "'text' twice")


def test_a_file_of_very_many_rows_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(columnar, "MOST_ROWS", 6)
    said(lambda: frame(pa.table({"text": TEXTS})), "7 rows, at most 6")
    assert len(frame(pa.table({"text": TEXTS[:6]}))) == 6


def test_a_task_file_reads_parquet(tmp_path):
    path = write_task(tmp_path)
    expected = load_task(path).load("javanese", "test")
    for csv in tmp_path.rglob("*.csv"):
        read_table(csv).to_parquet(csv.with_suffix(".parquet"))
        csv.unlink()
    path = tmp_path / "reviews.json"
    path.write_text(path.read_text().replace(".csv", ".parquet"))
    assert load_task(path).load("javanese", "test") == expected and len(expected) == 6
