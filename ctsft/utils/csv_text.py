"""CSV files for other programs: a spreadsheet takes no text in them for a formula.

Spreadsheets run a cell that begins with =, +, -, @, a tab or a carriage return. Labels, names of
languages and notes come from elsewhere, so such a text gets an apostrophe in front. Numbers stay
numbers, negative ones too. (Tables of labelled texts that the program reads again are not written
by this module: their texts come back unchanged.)
"""

import csv
import io
from collections.abc import Iterable, Mapping

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def no_formula(value: object) -> object:
    """A text that a spreadsheet would take for a formula, with an apostrophe in front; any other
    value as it is.
    """
    if not isinstance(value, str) or not value.lstrip(" ").startswith(FORMULA_SIGNS):
        return value
    return value if is_number(value) else f"'{value}"


def is_number(text: str) -> bool:
    """Whether a text is a plain decimal number, such as "-0.5" or "+1e-3"."""
    if not set(text) <= set("+-.0123456789eE"):
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def csv_text(header: Iterable[str], rows: Iterable[Mapping]) -> str:
    """A header line, and a line for each row; a row's other keys are left out."""
    columns = list(header)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(no_formula, columns))
    for row in rows:
        writer.writerow([no_formula(row.get(column)) for column in columns])
    return out.getvalue()
