"""Rows of CSV and TSV files, by one set of rules for both.

The separator is a comma, a semicolon or a tab: the one with which every row has as many cells as
the header (the ending's own first, then the one that makes most columns). A row that is longer or
shorter than the header is refused by its line: an unquoted comma in each text would otherwise push
the first half of the text into another column.

Quotation marks around a cell belong to the format (RFC 4180) where a comma or semicolon separates.
Tab-separated files exist in both kinds, so their quotation marks decide: they are text as soon as
one stands inside an unquoted cell or does not close before a tab; otherwise they belong to the
format where a quoted cell needs its quotes (a separator, a line break or a doubled quote inside,
without which the lines would not fit), or where a whole column is quoted.

R's `write.table` leaves the name of its first column out, so that every row has one cell more than
the header. That reading is accepted only if the cells of the first column are all different, and
either everything in it and in the header is quoted (R's default), or it holds whole numbers and no
column is named "id".
"""

import csv
import io
import re
from dataclasses import dataclass, field

import pandas as pd

from ctsft.data.json_lines import Unreadable
from ctsft.utils.errors import cut

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
ENDING_SEPARATOR = {".csv": ",", ".tsv": "\t"}
LONGEST_CELL = 2**31 - 1  # characters; Python's own limit is 131,072
NAMES_SHOWN = 8


@dataclass(frozen=True)
class Dialect:
    """How the cells of a file are separated, and whether quotation marks belong to the format."""

    separator: str
    quotes: bool = True

    def __str__(self) -> str:
        text = f"cells separated by {SEPARATORS.get(self.separator, repr(self.separator))}"
        return text if self.quotes else f"{text}, quotation marks read as text"


@dataclass(frozen=True)
class Reading:
    """A text as one dialect reads it. `width`: the cells of its header; `problem`: why it does not
    fit, "" if it does; `row_names`: R's unnamed first column comes before the header's.
    """

    dialect: Dialect
    lines: list[tuple[int, list[str]]] = field(default_factory=list)  # (number of its line, cells)
    width: int = 0
    problem: str = ""
    row_names: bool = False


def read(
    text: str, ending: str, columns: list[str] | None = None, quotes: bool | None = None
) -> tuple[pd.DataFrame, Dialect]:
    """The rows and the dialect of a file. `columns`: names for a file without a header line;
    `quotes`: whether quotation marks belong to the format (default: decided by the file).

    Raises Unreadable with the line that does not fit.
    """
    csv.field_size_limit(LONGEST_CELL)
    usual = ENDING_SEPARATOR[ending]
    # Excel's own first line
    if named := re.match(r"sep=([,;\t])\r?\n", text):
        text, separators, skipped = text[named.end() :], [named[1]], 1
    else:
        separators, skipped = present(text, usual), 0
    readings = [read_as(text, separator, columns, quotes, skipped) for separator in separators]
    best = max(
        readings, key=lambda one: (not one.problem, one.dialect.separator == usual, one.width)
    )
    if best.problem:
        best = max(readings, key=lambda one: (one.width, one.dialect.separator == usual))
        raise Unreadable(best.problem)
    return frame_of(best, columns), best.dialect


def present(text: str, usual: str) -> list[str]:
    """The separators that the first line holds; the ending's own where it holds none."""
    first = re.search(r"[^\r\n]*\S[^\r\n]*", text)
    return [separator for separator in SEPARATORS if first and separator in first[0]] or [usual]


def read_as(
    text: str, separator: str, columns: list[str] | None, quotes: bool | None, skipped: int
) -> Reading:
    """A text as a separator reads it; `skipped`: the lines that stand before it."""
    if quotes is None:
        quotes = separator != "\t" or quotes_are_format(text, columns is None)
    dialect = Dialect(separator, quotes)
    try:
        lines = list(numbered(text, dialect, skipped))
    except Unreadable as error:
        return Reading(dialect, width=first_width(text, dialect), problem=str(error))
    if not lines:
        return Reading(dialect)
    header = columns or lines[0][1]
    rows = lines if columns else lines[1:]
    reading = Reading(dialect, lines, len(header))
    wrong = next((row for row in rows if len(row[1]) != len(header)), None)
    if wrong is None:
        return reading
    if columns is None and has_row_names(text, dialect, header, [cells for _, cells in rows]):
        return Reading(dialect, lines, len(header), row_names=True)
    return Reading(dialect, lines, len(header), misfit(wrong, header, columns, dialect))


def numbered(text: str, dialect: Dialect, skipped: int = 0):
    """(number of the line where a row begins, its cells) for each row; blank lines are left out."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.separator,
        quoting=csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE,
        strict=True,
    )
    start = 1
    try:
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield start + skipped, cells
            start = reader.line_num + 1
    except csv.Error as error:
        why = "in which a text follows its closing quotation mark"
        if "unexpected end" in str(error):
            why = "whose quotation mark is never closed"
        raise Unreadable(f"line {start + skipped} begins a row {why}") from None


def first_width(text: str, dialect: Dialect) -> int:
    """The cells of the first row, 0 where it cannot be read."""
    try:
        return len(next(numbered(text, dialect), (0, []))[1])
    except Unreadable:
        return 0


def misfit(
    row: tuple[int, list[str]], header: list[str], columns: list[str] | None, dialect: Dialect
) -> str:
    """What is wrong with a row that is longer or shorter than the header."""
    number, cells = row
    names = ", ".join(cut(name, 30) for name in header[:NAMES_SHOWN])
    if len(header) > NAMES_SHOWN:
        names += ", ..."
    one = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
    expected = "there are names for" if columns else "the header has"
    advice = "a cell may be missing"
    if len(cells) > len(header):
        kind = SEPARATORS[dialect.separator][:-1]
        advice = f"a text that holds a {kind} has to stand in double quotation marks"
        if len(cells) == len(header) + 1 and not columns:
            advice += ", and a first column of row names needs a name in the header"
        if not dialect.quotes:
            advice = f"a text may not hold a {kind}"
    return f"line {number} has {one}, and {expected} {len(header)} ({names}); {advice}"


def has_row_names(text: str, dialect: Dialect, header: list[str], rows: list[list[str]]) -> bool:
    """Whether every row has one cell more than the header, and its first looks like R's names of
    rows (see above).
    """
    names = [row[0] for row in rows]
    if any(len(row) != len(header) + 1 for row in rows) or len(set(names)) < len(names):
        return False
    if all(name.isdecimal() for name in names) and "id" not in map(str.lower, header):
        return True
    return dialect.quotes and everything_quoted(text, dialect.separator)


def everything_quoted(text: str, separator: str) -> bool:
    """Whether the header, the first cell of every row, and every other cell that is neither a
    number nor R's TRUE, FALSE or NA stand in quotation marks.
    """
    sign = re.escape(separator)
    constants = re.compile(rf"(?<={sign})(?:TRUE|FALSE|NA)(?={sign}|\r|\n|\Z)")
    reader = csv.reader(
        io.StringIO(constants.sub("0", text), newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_NONNUMERIC,  # what is not quoted has to be a number
        strict=True,
    )
    try:
        rows = [row for row in reader if row]
    except (ValueError, csv.Error):
        return False
    return all(isinstance(name, str) for name in rows[0]) and all(
        isinstance(row[0], str) for row in rows
    )


def quotes_are_format(text: str, header: bool) -> bool:
    """Whether the quotation marks of a tab-separated text belong to the format, and are not part of
    its texts (see above).
    """
    if '"' not in text:
        return True
    raw = [cells for _, cells in numbered(text, Dialect("\t", quotes=False))]
    try:
        parsed = [cells for _, cells in numbered(text, Dialect("\t"))]
    except Unreadable:
        return False
    bare = re.sub(r'(?:(?<=[\t\r\n])|\A)"(?:[^"]|"")*"(?=[\t\r\n]|\Z)', "", text)
    if '"' in bare:
        return False
    if [len(row) for row in raw] != [len(row) for row in parsed]:
        # a quoted cell holds a tab or a line break, unless the lines fit without it
        return len({len(row) for row in raw}) > 1
    if any(re.search(r'[\t\r\n",;]', cell[1:-1]) for row in raw for cell in row if is_quoted(cell)):
        return True
    columns = zip(*raw, strict=False)
    return (header or len(raw) > 1) and any(all(map(is_quoted, column)) for column in columns)


def is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def frame_of(reading: Reading, columns: list[str] | None) -> pd.DataFrame:
    """The rows of a reading as a table; R's names of rows become its index."""
    if not reading.lines:
        return pd.DataFrame()
    header = columns or named(reading.lines[0][1])
    rows = [cells for _, cells in (reading.lines if columns else reading.lines[1:])]
    if not reading.row_names:
        return pd.DataFrame(rows, columns=header, dtype=object)
    index = [row[0] for row in rows]
    return pd.DataFrame([row[1:] for row in rows], index=index, columns=header, dtype=object)


def named(header: list[str]) -> list[str]:
    """A header in which every column has a name of its own. Unreadable where two share one."""
    names = [name or f"Unnamed: {number}" for number, name in enumerate(header)]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise Unreadable(f"two of its columns are named {double[:80]!r}; rename one of them")
    return names
