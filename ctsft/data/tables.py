"""Tables in files: CSV, TSV, JSONL, Parquet and Arrow, as text.

Cells stay as they are written: "NA", "null" and 007 are texts. What is not text in a JSONL, Parquet
or Arrow file becomes a `NotText`, which is refused by its row once a task reads its column.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ctsft.data import columnar, delimited, json_lines
from ctsft.data.json_lines import Unreadable
from ctsft.utils.errors import UserError, cut

ENDINGS = (".csv", ".tsv", ".jsonl", *columnar.ENDINGS)
BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass(frozen=True)
class Table:
    """The rows of a file, and in words how its cells were told apart."""

    frame: pd.DataFrame = field(hash=False)
    dialect: str


def read_table(
    path: str | os.PathLike,
    columns: tuple | None = None,
    ending: str | None = None,
    data: bytes | None = None,
    quotes: bool | None = None,
) -> pd.DataFrame:
    """Rows of a file as text, read by its ending (`ENDINGS`). `columns`: names for a CSV or TSV
    file without a header line; `ending`: in place of that of the name; `data`: the file's bytes, if
    they are in memory already; `quotes`: whether quotation marks belong to the format (default: the
    file decides).

    Raises UserError for another ending, for an empty or unreadable file, for a row that is longer
    or shorter than the header, and for two columns of one name.
    """
    return open_table(path, columns, ending, data, quotes).frame


def open_table(
    path: str | os.PathLike,
    columns: tuple | None = None,
    ending: str | None = None,
    data: bytes | None = None,
    quotes: bool | None = None,
) -> Table:
    """As `read_table`, together with the dialect of the file."""
    path = Path(path)
    ending = ending or path.suffix
    kind = ending.lower()
    if kind not in ENDINGS:
        raise UserError(
            f"{cut(path.name)} ends in {cut(ending)!r}; choose a file that ends in"
            f" {', '.join(ENDINGS)}."
        )
    try:
        data = path.read_bytes() if data is None else data
        if kind in columnar.ENDINGS:
            table = Table(columnar.read(data, kind, cut(path.name)), "columns with types")
        elif kind == ".jsonl":
            table = Table(json_lines.read(decoded(data), cut(path.name)), "one JSON object a line")
        else:
            names = list(columns) if columns else None
            frame, dialect = delimited.read(decoded(data), kind, names, quotes)
            table = Table(frame, str(dialect))
    except OSError as error:
        raise UserError(f"{path} could not be read ({error.strerror}); check the file.") from error
    except Unreadable as error:
        raise UserError(
            f"{path} could not be read as {kind[1:].upper()}: {error}. Correct the file."
        ) from error
    if table.frame.empty:
        raise UserError(
            f"{path} holds no rows; choose a file with a header line and at least one labelled"
            " text."
        )
    return table


def decoded(data: bytes) -> str:
    """The text of a file. Unreadable for bytes that are not UTF-8 text, with their line."""
    if encoding := BYTE_ORDER_MARKS.get(data[:2]):
        raise Unreadable(f"it is {encoding}; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise Unreadable(
            f"line {line} is not UTF-8 (byte 0x{byte:02x}); save it as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Unreadable(f"line {line} holds a NUL character")
    return text
