"""How heads, numbers and texts of unknown origin are written in figures and sentences."""

import functools
import html
import math
import textwrap

from ctsft.utils.right_to_left import isolate


def name(head: tuple[int, int]) -> str:
    return f"L{head[0]}.H{head[1]}"


def number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−") if math.isfinite(value) else "not computed"


@functools.lru_cache(8192)
def safe(text: str, width: int = 60, lines: int = 6) -> str:
    """Foreign text as hover text: escaped, wrapped, cut after `lines`."""
    rows = textwrap.wrap(str(text), width) or [""]
    return "<br>".join(isolate(html.escape(row)) for row in rows[:lines]) + (
        "…" if len(rows) > lines else ""
    )
