"""Cells of tables: text, or what stands where a text was expected, with its place.

JSONL files, datasets of the hub and tables in memory hold null, lists, booleans and numbers. A
number becomes its own digits; everything else that is not text stays a `NotText` until a task
reads the column, and is refused there by its row. Nothing becomes its Python spelling.
"""

import math
import numbers
import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from ctsft.utils.errors import UserError, quoted

SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class NotText:
    """A cell without text: `what` it holds ("null", "a list"), and the `place` of its row."""

    what: str
    place: str


def cell(value: object, place: str) -> str | NotText:
    """A value as the text of a cell; `place` names its row for an error."""
    if isinstance(value, str):
        return checked_text(value, place)
    if isinstance(value, NotText):
        return value
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return NotText("null", place)
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's own boolean, too
        return NotText(f"the boolean {str(value).lower()}", place)
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        number = float(value)
        return repr(number) if math.isfinite(number) else NotText(f"the number {number}", place)
    return NotText(f"a value of type {type(value).__name__}", place)


def checked_text(text: str, place: str) -> str | NotText:
    if "\0" in text:
        return NotText("a NUL character", place)
    if SURROGATE.search(text):
        return NotText("half of a character (a lone surrogate)", place)
    return text


def text_of(value: str | NotText, column: str, where: str = "") -> str:
    """The text of a cell. UserError that names the row, the column and what stands there; `where`
    comes before the row ("The train rows of javanese").
    """
    if isinstance(value, str):
        return value
    raise UserError(
        f"{where}{': ' if where else ''}{value.place} holds {value.what} in the column"
        f" {quoted(column)}, where a text was expected; correct the row, or remove it."
    )


def cells(
    values: Iterable[object], source: str = "", rows: Iterable[int] | None = None
) -> list[str | NotText]:
    """A column of values as cells; their places are "row 1 of `source`", "row 2 of ...", or the
    numbers in `rows`, which count from 0.
    """
    of = f" of {source}" if source else ""
    numbered = enumerate(values) if rows is None else zip(rows, values, strict=True)
    return [
        value if is_plain(value) else cell(value, f"row {number + 1}{of}")
        for number, value in numbered
    ]


def is_plain(value: object) -> bool:
    """Whether a value is a text without anything to look for in it."""
    return isinstance(value, str) and value.isascii() and "\0" not in value


def texts(frame: pd.DataFrame, column: str, where: str = "", rows=None) -> list[str]:
    """The texts of a column, or of some of its rows. UserError names the first that is none."""
    rows = range(len(frame)) if rows is None else rows
    values = cells(frame[column].iloc[rows], rows=rows)
    return [text_of(value, column, where) for value in values]
