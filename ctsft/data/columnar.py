"""Rows of Parquet and Arrow files as cells: numbers in their own digits, what is not text by its
row, and the class numbers of a Hugging Face dataset as their names.
"""

import json

import pandas as pd

from ctsft.data.cells import NotText, cell
from ctsft.data.json_lines import Unreadable
from ctsft.utils.errors import cut

ENDINGS = (".parquet", ".arrow")
MOST_ROWS = 5_000_000  # a Parquet file holds any number of equal rows in a few bytes
# a column that pandas adds for the names of rows
INDEX_COLUMN = "__index_level_"
KINDS = {list: "a list", dict: "an object", bytes: "bytes"}


def read(data: bytes, ending: str, name: str) -> pd.DataFrame:
    """The rows of a file. Raises Unreadable for a damaged file, or two columns of one name."""
    import pyarrow  # a third of a second, which reading text files does not need

    try:
        table = read_arrow(pyarrow.BufferReader(data), ending)
        table.validate(full=True)  # a damaged file may point outside of itself, or not hold UTF-8
    except Unreadable:
        raise
    except Exception as error:  # pyarrow raises ValueError, OSError, KeyError and others
        raise Unreadable(f"it is damaged, or of another format ({cut(error)})") from None
    names = [column for column in table.column_names if not column.startswith(INDEX_COLUMN)]
    double = next((column for column in names if names.count(column) > 1), None)
    if double is not None:
        raise Unreadable(f"it has the column {cut(double)!r} twice")
    classes = class_names(table.schema.metadata or {})
    columns = {
        column: column_cells(table.column(column).to_pylist(), classes.get(column), name)
        for column in names
    }
    return pd.DataFrame(columns, dtype=object)


def read_arrow(source, ending: str):
    """The pyarrow table of a Parquet file, or of an Arrow file or stream."""
    from pyarrow import ipc, parquet

    if ending == ".parquet":
        file = parquet.ParquetFile(source)
        if file.metadata.num_rows > MOST_ROWS:
            raise Unreadable(f"it has {file.metadata.num_rows:,} rows, at most {MOST_ROWS:,}")
        return file.read()
    if source.read(6) == b"ARROW1":
        return ipc.open_file(source).read_all()
    source.seek(0)
    return ipc.open_stream(source).read_all()


def class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """{column: the names of its classes}, as `datasets` writes them into a file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def column_cells(values: list, names: list[str] | None, source: str) -> list[str | NotText]:
    """A column as cells. A class number becomes its name; one without a name is refused by row."""
    cells = []
    for row, value in enumerate(values, start=1):
        place = f"row {row} of {source}"
        if type(value) in KINDS:
            value = NotText(KINDS[type(value)], place)
        elif names is not None and isinstance(value, int):
            known = 0 <= value < len(names)
            value = names[value] if known else NotText(f"the unknown class {value}", place)
        cells.append(cell(value, place))
    return cells
