"""Bytes and seconds as text that people read, and back."""

import math
import re

from ctsft.utils.errors import UserError

BYTES_PER_UNIT = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds


def parse_bytes(size: int | str | None) -> int | None:
    """A number of bytes from a number, or from text such as "4GB"; None stays None.

    Raises UserError for anything else, and for sizes that are not positive.
    """
    if size is None or (isinstance(size, int) and size > 0):
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B)?\s*", str(size), re.IGNORECASE)
    if not match or not 0 < float(match[1]) < math.inf:
        raise UserError(
            f"{size!r} is not a size of memory; write bytes, or a number and a unit such as 4GB or"
            " 512MiB."
        )
    return int(float(match[1]) * BYTES_PER_UNIT[(match[2] or "").upper()])


def bytes_text(size: float) -> str:
    """A number of bytes with three digits and its unit: "1.23 GB"."""
    for unit in ("GB", "MB", "kB"):
        if size >= BYTES_PER_UNIT[unit.upper()]:
            return f"{size / BYTES_PER_UNIT[unit.upper()]:.3g} {unit}"
    return f"{size:.0f} bytes"


def duration_text(seconds: float) -> str:
    """A duration in its largest unit: "0.4 s", "42 s", "3.1 min", "2.5 h", "3.2 d" (from 2 d)."""
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.1f} d"
    if seconds >= HOUR:
        return f"{seconds / HOUR:.1f} h"
    if seconds >= MINUTE:
        return f"{seconds / MINUTE:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0):.1f} s"


def time_left_text(seconds: float | None, unknown: str = "") -> str:
    """The time a job still needs: "about 40 s left"; `unknown` where `seconds` is None."""
    if seconds is None:
        return unknown
    if seconds < 1.5 * MINUTE:
        return f"about {seconds:.0f} s left"
    if seconds < 1.5 * HOUR:
        return f"about {seconds / MINUTE:.0f} min left"
    return f"about {seconds / HOUR:.1f} h left"
