"""Numbers that know how they were derived, and texts that say which of their words are such
numbers.

A `Figure` (or a `Count`) is an ordinary number with its derivation: an operation and what it was
applied to, such as ("gain", run) or ("mean", figure, figure). Within `ledger()` every figure that
is formatted leaves an invisible mark around its text, so that sentences may be written as ever; who
writes them to a file turns the marks into what the file can hold (`Ledger.pieces`). Outside of a
ledger a figure is formatted like any other number.
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

START, MIDDLE, END = "\ue0f0", "\ue0f1", "\ue0f2"  # private characters
DECIMAL = re.compile(r"[+\-−]?\d[\d,]*\.\d+%?")


class Figure(float):
    """A float with its derivation: `how` is an operation's name and its arguments, which are texts,
    whole numbers or figures.
    """

    how: tuple

    def __new__(cls, value: float, *how):
        figure = super().__new__(cls, value)
        figure.how = how
        return figure

    def __format__(self, spec: str) -> str:
        return marked(self, super().__format__(spec))

    def __sub__(self, other):
        difference = float(self) - float(other)
        both = isinstance(other, Figure)
        return Figure(difference, "minus", self, other) if both else difference

    def __neg__(self):
        return Figure(-float(self), "negative", self)


class Count(int):
    """A whole number with its derivation."""

    how: tuple

    def __new__(cls, value: int, *how):
        count = super().__new__(cls, value)
        count.how = how
        return count

    def __format__(self, spec: str) -> str:
        return marked(self, super().__format__(spec))


AnyFigure = Figure | Count
_current: ContextVar["Ledger | None"] = ContextVar("ledger", default=None)


@dataclass(frozen=True)
class Node:
    """A figure as a ledger holds it: arguments that are figures are ("node", their number)."""

    operation: str
    arguments: tuple
    value: float


class Ledger:
    """The figures that a text shows, each once, with all that they are derived from."""

    def __init__(self):
        self.nodes: list[Node] = []
        self.charts: list[list] = []  # of each chart: [trace, array, numbers of its figures]
        self._numbers: dict[tuple, int] = {}
        self._sign = secrets.token_hex(4)  # foreign text cannot imitate a mark
        self._mark = re.compile(f"{START}{self._sign}:(\\d+){MIDDLE}([^{START}{END}]*){END}")

    def number(self, figure: AnyFigure) -> int:
        """The place of a figure among the nodes."""
        operation, *given = figure.how
        arguments = tuple(
            ("node", self.number(one)) if isinstance(one, Figure | Count) else one for one in given
        )
        key = (operation, arguments)
        if key not in self._numbers:
            self._numbers[key] = len(self.nodes)
            self.nodes.append(Node(operation, arguments, float(figure)))
        return self._numbers[key]

    def marked(self, figure: AnyFigure, text: str) -> str:
        return f"{START}{self._sign}:{self.number(figure)}{MIDDLE}{text}{END}"

    def pieces(self, text: str) -> Iterator[tuple[str, int | None]]:
        """The text in parts, each with the number of the figure that it shows; None for others."""
        position = 0
        for mark in self._mark.finditer(text):
            yield text[position : mark.start()], None
            yield mark[2], int(mark[1])
            position = mark.end()
        yield text[position:], None


def unmarked_text(text: str) -> str:
    """A text without its marks."""
    return re.sub(f"{START}[^{MIDDLE}]*{MIDDLE}([^{START}{END}]*){END}", r"\1", text)


def current_ledger() -> Ledger | None:
    return _current.get()


def marked(figure: AnyFigure, text: str) -> str:
    """A text that shows a figure; with its mark inside of a ledger."""
    current = _current.get()
    return text if current is None else current.marked(figure, text)


def shown_as(value: float, text: str) -> str:
    """A text that shows a value in words of its own, such as "less than 0.01"."""
    return marked(value, text) if isinstance(value, Figure | Count) else text


@contextmanager
def ledger() -> Iterator[Ledger]:
    """Figures that are formatted meanwhile are marked and collected."""
    new = Ledger()
    token = _current.set(new)
    try:
        yield new
    finally:
        _current.reset(token)


@contextmanager
def unmarked() -> Iterator[None]:
    """Figures that are formatted meanwhile are plain text."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def shows(text: str, value: float) -> bool:
    """Whether a text such as "−0.05", "1.9e-05", "p < 0.001" or "12 %" shows a value, in all the
    digits that it has.
    """
    clean = text.replace("−", "-").replace(",", "").strip()
    if clean in ("–", "not computed"):
        return value != value
    if below := re.fullmatch(r"(?:p <|less than) ?([\d.]+)", clean):
        return value < float(below[1])
    match = re.fullmatch(r"(?:[a-z]+ = )?([+-]?)(\d+(?:\.(\d+))?(?:e([+-]?\d+))?)( ?%| s)?", clean)
    if not match:
        return False
    written = float(match[1] + match[2])
    scale = 0.01 if (match[5] or "").strip() == "%" else 1.0
    step = 10.0 ** (int(match[4] or 0) - len(match[3] or "")) * scale
    if match[1] == "+" and value < 0 and written:
        return False
    return abs(written * scale - value) <= step / 2 + 1e-6 * step + 1e-12


def attribute(text: str, pool: Iterable[AnyFigure]) -> str:
    """A text with a mark at each decimal number that a figure of the pool shows; the first one that
    fits. For texts whose numbers were computed elsewhere.
    """
    if _current.get() is None:
        return text
    figures = list(pool)

    def mark(match: re.Match) -> str:
        shown = match[0]
        for figure in figures:
            if shows(shown, float(figure)):
                return marked(figure, shown)
        return shown

    return DECIMAL.sub(mark, text)
