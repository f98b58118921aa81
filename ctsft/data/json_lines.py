"""Rows of a JSONL file: one JSON object a line, its values as cells.

Numbers keep the digits that the file spells: an id of twenty digits, and 1.0 beside 1.
"""

import json

import pandas as pd

from ctsft.data.cells import NotText, cell
from ctsft.utils.errors import cut


class Unreadable(ValueError):
    """Why a file could not be read, as the end of a sentence."""


class Special(str):
    """NaN, Infinity or -Infinity, which JSON does not have and Python writes."""


def read(text: str, name: str) -> pd.DataFrame:
    """The rows of a JSONL file, its columns in the order in which they appear first. A row without
    one of the columns, and a value that is not text, are `NotText` there.

    Raises Unreadable for a line that is not one JSON object, or that has a key twice.
    """
    if text.lstrip().startswith("["):
        raise Unreadable("it begins as a JSON array, and JSONL has one object a line")
    objects: list[tuple[str, dict]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{name}, row {len(objects) + 1} (line {number})"
            objects.append((place, read_line(line, number)))
    columns = list(dict.fromkeys(key for _, row in objects for key in row))
    table = {
        column: [json_cell(row, column, place) for place, row in objects] for column in columns
    }
    return pd.DataFrame(table, dtype=object)


def read_line(line: str, number: int) -> dict:
    try:
        row = DECODER.decode(line.strip())
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else cut(error)
        raise Unreadable(f"line {number} is not one JSON object ({why})") from None
    if not isinstance(row, dict):
        raise Unreadable(f"line {number} is not one JSON object, but {kind(row)}")
    return row


def json_cell(row: dict, column: str, place: str) -> str | NotText:
    if column not in row:
        return NotText("nothing", place)
    value = row[column]
    if isinstance(value, Special):
        return NotText(value, place)
    if isinstance(value, list | dict):
        return NotText(kind(value), place)
    return cell(value, place)


def kind(value: object) -> str:
    """What a JSON value is, in the words of JSON."""
    names = {list: "a list", dict: "an object", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a text or a number")


def without_doubles(pairs: list[tuple[str, object]]) -> dict:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"it has the key {cut(double)!r} twice")
    return row


DECODER = json.JSONDecoder(
    strict=False,  # a tab inside a text is allowed
    object_pairs_hook=without_doubles,
    parse_int=str,
    parse_float=str,
    parse_constant=Special,
)
