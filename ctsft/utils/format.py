"""How heads, numbers and texts of unknown origin are written in figures and sentences."""

import functools
import html
import math
import re
import textwrap

from ctsft.utils.errors import UserError, quoted
from ctsft.utils.right_to_left import isolate

Head = tuple[int, int]  # layer, head; both count from 0


def head_name(head: tuple[int, int]) -> str:
    """ "L3.H5" for the head (3, 5); both numbers count from 0."""
    return f"L{head[0]}.H{head[1]}"


def head_of(name: str) -> tuple[int, int]:
    """The head (3, 5) that "L3.H5" names; UserError for another text."""
    match = re.fullmatch(r"L(\d{1,5})\.H(\d{1,5})", name.strip())
    if not match:
        raise UserError(f"{quoted(name)} is no name of a head; write it as L2.H1.")
    return int(match[1]), int(match[2])


def number(value: float) -> str:
    """Three significant digits with a typographic minus; "not computed" for NaN or infinity."""
    return f"{value:.3g}".replace("-", "−") if math.isfinite(value) else "not computed"


@functools.lru_cache(8192)
def hover_text(text: str, width: int = 60, lines: int = 6) -> str:
    """Text of unknown origin for a Plotly hover label: HTML escaped, wrapped at `width` characters
    and cut after `lines` lines.
    """
    rows = textwrap.wrap(str(text), width) or [""]
    more = "…" if len(rows) > lines else ""
    return "<br>".join(isolate(html.escape(row)) for row in rows[:lines]) + more
